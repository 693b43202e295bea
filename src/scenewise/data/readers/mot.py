"""MOT challenge: frames with boxes in CSV files; ids are painted rectangles, not masks (datasets.md 12.2).

`path` is a sequence (`img1/%06d.jpg` with `gt/gt.txt` or `det/det.txt`, and `seqinfo.ini`), a folder of sequences, with
`train` and `test` in it or not, or a video file or folder of frames for which `boxes` names a CSV file. A row is frame,
id, left, top, width, height, confidence and up to three more columns, without a header. A row belongs to the image
whose name bears its frame's number, or, where names bear none, to that place, counted from 1. Track ids, which have
gaps, become 1 to n in ascending order for the whole sequence; `extras["tracks"]` has the file's. Detections (id -1)
tell no track, so they are no ids but stand in `extras["detections"]`. Truth of confidence 0 is not to be scored: -1.
"""

from __future__ import annotations

import configparser
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import split_records
from scenewise.data.readers.video import ClipsConfig, ClipsSource, own_records
from scenewise.data.splits import check_split
from scenewise.errors import InputError
from scenewise.media.files import check_readable, is_below, read_text, reading
from scenewise.media.frames import image_files, load_image, natural_order
from scenewise.media.reading import read_video
from scenewise.media.video import VIDEO_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAME = "mot"
_FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
_LEAST, _MOST = 7, 10  # columns
_LAYOUT = "rows frame, id, left, top, width, height, confidence, without a header"


@dataclass(frozen=True)
class MotConfig(ClipsConfig):
    """Settings of the reader of MOT sequences."""

    boxes: str = setting("gt", "gt: gt/gt.txt; det: det/det.txt; off: none; or a CSV file for one sequence")
    base: int = setting(1, "number of the first pixel in the file: 1 in MOT15 to MOT17 and in what this program writes")
    frame_base: int | None = setting(
        None, "number of the first frame in the file; none: frames have the numbers in the names of images, else from 1"
    )
    order: Literal["area", "depth", "none"] = setting(
        "area",
        "which box is on top: the smaller; the one that reaches lower, which is nearer on level ground; none: overlaps "
        "are -1",
    )
    unscored: Literal["ignore", "drop"] = setting(
        "ignore", "boxes of truth with confidence 0: -1 where no other box is, or left out"
    )


@dataclass(frozen=True)
class Boxes:
    """What a CSV file tells, by frame from 0.

    Attributes:
        tracks: The file's ids in ascending order; id i + 1 is entry i. Empty where there are none.
        rows: Of each frame: id from 1 (0: not to be scored, -1: no track), left, top, width, height in pixels from 0,
            confidence, and the further columns; shape (n, columns - 1).
    """

    tracks: list[int] = field(default_factory=list)
    rows: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sequence:
    name: str
    frames: Path
    boxes: Path | None


@register_source(
    _NAME,
    Description(
        what="MOT challenge sequences, or any video with a CSV file of boxes; ids are boxes, not masks",
        kind="files",
        paper="MOTChallenge (Leal-Taixe et al. 2015, Milan et al. 2016)",
        size="as stored, mostly 1080 x 1920; set size and clip",
        factors=("boxes", "tracks"),
        licence="MOT15 to MOT20: see the terms on its site",
        obtain="motchallenge.net: MOT17.zip, then path=MOT17 size=[135,240] clip=24",
    ),
)
class MotSource(ClipsSource):
    """Sequences of one split.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: Frames or boxes are missing or damaged.
    """

    config_class = MotConfig
    config: MotConfig

    def __init__(self, config: MotConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._sequences, own = _sequences(self.path, split, config.boxes)
        total = len(self._sequences)
        records = own_records(config, split, total) if own else split_records(config, split, total)
        self._counts = {video: _frames_in(self._sequences[video].frames) for video in records}
        self._tables = {video: self._table(video) for video in records}
        tracks = [len(table.tracks) for table in self._tables.values()]
        has_ids = any(tracks)  # a sequence may show nothing that counts; detections have no tracks at all
        kind = "ids are BOXES (filled rectangles), not masks" if has_ids else "no ids"
        self._settle_clips(
            records,
            _size_of(self._sequences[records.start].frames),
            max_objects=max(tracks, default=0) or None,
            has_ids=has_ids,
            overlap="ignore" if config.order == "none" else "top",
            origin=f"MOT {self.path.name}, {split}, {len(records)} sequences; {kind}",
        )

    def fingerprint(self) -> str:
        """Return a hash that also changes with the boxes."""
        files = [self._sequences[video].boxes for video in self._tables]
        return fingerprints.of_values(super().fingerprint(), [fingerprints.of_file(file) for file in files if file])

    def _files(self) -> list[Path]:
        few = [self._sequences[int(video)].frames for video in np.unique(self._clips[:, 0])[:8]]
        return [image_files(place)[0] if place.is_dir() else place for place in few]

    def _table(self, video: int) -> Boxes:
        sequence, config = self._sequences[video], self.config
        if sequence.boxes is None:
            return Boxes()
        images = image_files(sequence.frames) if sequence.frames.is_dir() else []
        numbers = {} if config.frame_base is not None else frame_numbers([file.stem for file in images])
        if numbers:
            boxes = read_boxes(sequence.boxes, config.base, 0)
            places = _places(sequence.boxes, list(boxes.rows), numbers, images)
        else:
            boxes = read_boxes(sequence.boxes, config.base, 1 if config.frame_base is None else config.frame_base)
            places = {place: place for place in range(self._counts[video])}
        return _placed(sequence.boxes, boxes, places, images)

    def _name(self, video: int) -> str:
        return self._sequences[video].name

    def _count(self, video: int) -> int:
        return self._counts[video]

    def _images(self, video: int, span: range) -> Iterator[np.ndarray]:
        place = self._sequences[video].frames
        if place.is_dir():
            yield from (load_image(file) for file in image_files(place)[span.start : span.stop])
            return
        with read_video(place, start=span.start, stop=span.stop) as reader:
            for frame in reader:
                yield frame.image

    def _labels(self, video: int, span: range) -> Iterator[np.ndarray]:
        size = _size_of(self._sequences[video].frames)
        for frame in span:
            rows = self._tables[video].rows.get(frame, np.zeros((0, 5)))
            yield paint_boxes(rows, size, self.config.order, self.config.unscored)

    def _more(self, video: int, span: range) -> dict[str, Any]:
        """Return boxes (T, n, 4) by id, NaN where absent, and confidence; or the detections (n, 5) of each frame."""
        table, nothing = self._tables[video], np.zeros((0, 6))
        listed = [table.rows.get(frame, nothing) for frame in span]
        if not self.facts.has_ids:
            return {"detections": [rows[:, 1:6] for rows in listed]} if table.rows else {}
        boxes = np.full((len(span), len(table.tracks), 5), np.nan)
        for place, rows in enumerate(listed):
            tracked = rows[rows[:, 0] > 0]
            boxes[place, tracked[:, 0].astype(int) - 1] = tracked[:, 1:6]
        return {"boxes": boxes[..., :4], "confidence": boxes[..., 4], "tracks": list(table.tracks)}


def read_boxes(path: Path, base: int = 1, frame_base: int = 1) -> Boxes:
    """Read a CSV file of boxes.

    Args:
        path: The file.
        base: Number of the first pixel in the file.
        frame_base: Number of the first frame in the file.

    Raises:
        InputError: It is missing, or holds other rows.
    """
    check_readable(path)
    table = _numbers(path)
    frames = table[:, 0].astype(int) - frame_base
    if (frames < 0).any() or (table[:, 0] % 1).any():
        remedy = "Set frame_base to the number of the first frame."
        raise InputError(path, f"expected frames from {frame_base}, found {table[:, 0].min():g}.", remedy)
    rows = table[:, 1:].copy()
    rows[:, 1:3] -= base
    scored = (table[:, 6] != 0) & (table[:, 1] >= 0)
    tracks = np.unique(table[scored, 1])
    rows[:, 0] = np.where(scored, np.searchsorted(tracks, table[:, 1]) + 1, np.where(table[:, 1] < 0, -1, 0))
    _check_once(path, table[:, 0], rows, table[:, 1])
    return Boxes([int(track) for track in tracks], {int(frame): rows[frames == frame] for frame in np.unique(frames)})


def frame_numbers(names: Sequence[str]) -> dict[int, int]:
    """Return the place of each number that names of images bear; empty where they bear none that tell them apart.

    Args:
        names: Names without endings, in order. Of several numbers in them the last counts that differs in all.

    Examples:
        >>> frame_numbers(["000060", "000061", "000070"])
        {60: 0, 61: 1, 70: 2}
        >>> frame_numbers(["cam2_7_left1", "cam2_9_left1"])
        {7: 0, 9: 1}
        >>> frame_numbers(["left", "right"])
        {}
    """
    runs = [[int(run) for run in re.findall(r"[0-9]+", name)] for name in names]
    if len({len(run) for run in runs}) != 1:
        runs = [run[-1:] for run in runs]
    columns = list(zip(*runs, strict=True)) if all(runs) else []
    unique = next((column for column in reversed(columns) if len(set(column)) == len(names)), ())
    return {number: place for place, number in enumerate(unique)}


def _places(file: Path, frames: list[int], numbers: dict[int, int], images: list[Path]) -> dict[int, int]:
    """Return the place of the image of each frame's number; where one counts from 0 and one from 1 there are two ways.

    Raises:
        InputError: Nothing tells which of the two it is.
    """
    if min(frames) == 0 and min(numbers) == 1:
        remedy = "Set frame_base=0 where frame 0 is the first image."
        raise InputError(file, f"expected frames from 1, as {images[0].name}; found 0.", remedy)
    if min(numbers) != 0 or min(frames) == 0:
        return numbers
    counted = {place + 1: place for place in range(len(numbers))}
    if max(frames) == max(counted) and max(frames) not in numbers:
        warnings.warn(f"{file}: frame 1 is taken for {images[0].name}, since images count from 0.", stacklevel=2)
        return counted
    first = min(frames)
    problem = f"images count from 0 ({images[0].name}), frames from {first}: which image that is, is not clear."
    remedy = "Set frame_base=0 where frame 1 is the image of number 1, or frame_base=1 where it is the first image."
    raise InputError(file, problem, remedy)


def _placed(file: Path, boxes: Boxes, places: dict[int, int], images: list[Path]) -> Boxes:
    """Return boxes by the places of their frames; what has no image is left out and counted in a warning.

    Raises:
        InputError: No box has an image.
    """
    rows = {places[frame]: boxes.rows[frame] for frame in boxes.rows if frame in places}
    missing = [frame for frame in boxes.rows if frame not in places]
    if missing and not rows:
        what = f"{images[0].name} to {images[-1].name}" if images else f"{len(places)} frames"
        problem = f"expected boxes of {what}; found those of frames {min(boxes.rows)} to {max(boxes.rows)}."
        raise InputError(file, problem, "Set frame_base to the number that the file gives to the first image.")
    if missing:
        count = sum(len(boxes.rows[frame]) for frame in missing)
        warnings.warn(f"{file}: {count} boxes of {len(missing)} frames have no image and were left out.", stacklevel=2)
    return Boxes(boxes.tracks, rows)


def _numbers(path: Path) -> np.ndarray:
    """Return the rows of a file, float64 (n, columns)."""
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append([float(part) for part in line.split(",")])
        except ValueError:
            raise InputError(
                f"{path}, row {number}", f"expected numbers, found {line[:60]!r}.", f"({_LAYOUT}.)"
            ) from None
        if not _LEAST <= len(rows[-1]) <= _MOST or len(rows[-1]) != len(rows[0]):
            wanted = f"{_LEAST} to {_MOST}" if len(rows) == 1 else str(len(rows[0]))
            problem = f"expected {wanted} columns, found {len(rows[-1])}."
            raise InputError(f"{path}, row {number}", problem, f"({_LAYOUT}; the file may be incomplete.)")
    if not rows:
        raise InputError(path, "expected rows of boxes, found none.", f"({_LAYOUT}.)")
    table = np.array(rows)
    if not np.isfinite(table).all():
        raise InputError(path, "expected finite numbers, found others.", f"({_LAYOUT}.)")
    return table


def _check_once(path: Path, frames: np.ndarray, rows: np.ndarray, names: np.ndarray) -> None:
    """Check that no track has two boxes in a frame."""
    tracked = rows[:, 0] > 0
    pairs = np.stack([frames[tracked], names[tracked]], 1).astype(int)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    if (counts > 1).any():
        frame, name = found[counts > 1][0]
        problem = f"expected one box of id {name} in a frame, found {counts.max()} in frame {frame}."
        raise InputError(path, problem, "Give a file of tracks.")


def paint_boxes(rows: np.ndarray, size: tuple[int, int], order: str = "area", unscored: str = "ignore") -> np.ndarray:
    """Paint boxes as filled rectangles.

    Args:
        rows: As of `Boxes.rows`.
        size: (H, W).
        order: "area", "depth" or "none"; see `MotConfig`.
        unscored: "ignore" or "drop".

    Returns:
        int64, shape (H, W). A pixel belongs to a box where its centre does; boxes may reach outside.
    """
    ids = np.zeros(size, np.int64)
    if unscored == "ignore":
        for row in rows[rows[:, 0] == 0]:
            ids[_region(row, size)] = -1
    visible = rows[rows[:, 0] > 0]
    rank = -visible[:, 3] * visible[:, 4] if order == "area" else visible[:, 2] + visible[:, 4]
    covered = np.zeros(size, bool)
    for row in visible[np.argsort(rank, kind="stable")]:
        region = _region(row, size)
        ids[region] = np.where(covered[region], -1, int(row[0])) if order == "none" else int(row[0])
        covered[region] = True
    return ids


def _region(row: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the pixels whose centres lie in a box."""
    left, top, width, height = (float(value) for value in row[1:5])
    edges = [np.ceil(value - 0.5) for value in (top, top + height, left, left + width)]
    top, bottom, left, right = np.clip(edges, 0, [size[0], size[0], size[1], size[1]]).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def _sequences(root: Path, split: str, boxes: str) -> tuple[list[_Sequence], bool]:
    """Return all sequences, and whether they are this split's alone."""
    check_split(split)
    if not root.exists():
        raise InputError(root, "no such file or folder.", "Give a sequence, a folder of sequences, or a video.")
    if root.is_file() or image_files(root):
        if boxes in ("gt", "det"):
            remedy = "Name it, as in boxes=gt.txt, or set boxes=off."
            raise InputError(root, f"expected the CSV file of these frames, found boxes={boxes}.", remedy)
        return [_Sequence(root.stem, root, None if boxes == "off" else Path(boxes))], False
    own = next((root / name for name in _FOLDERS[split] if (root / name).is_dir()), None)
    top = own or root
    folders = (
        [top] if _frames_folder(top) else natural_order([p for p in top.iterdir() if p.is_dir() and _frames_folder(p)])
    )
    if not folders:
        names = ", ".join(sorted(p.name for p in top.iterdir())[:5]) or "nothing"
        raise InputError(top, f"expected SEQUENCE/img1 with images, found {names}.", "Choose another split, or unpack.")
    if boxes not in ("gt", "det", "off") and len(folders) > 1:
        raise InputError("boxes", f"{boxes} is one file, {top} has {len(folders)} sequences.", "Give gt, det or off.")
    return [
        _Sequence(folder.name, _frames_folder(folder) or folder, _boxes_of(folder, boxes)) for folder in folders
    ], own is not None


def _frames_folder(folder: Path) -> Path | None:
    """Return the folder of images of a sequence: as seqinfo.ini says, or img1."""
    name, info = "img1", folder / "seqinfo.ini"
    if info.is_file():
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        with reading(info, "[Sequence] with imDir and others", "Remove it or get it again."):
            parser.read_string(read_text(info))
            name = parser.get("Sequence", "imDir", fallback=name)
            if not is_below(name):
                raise ValueError("an imDir outside of the sequence")
    return folder / name if (folder / name).is_dir() and image_files(folder / name) else None


def _boxes_of(folder: Path, boxes: str) -> Path | None:
    if boxes == "off":
        return None
    file = folder / boxes / f"{boxes}.txt" if boxes in ("gt", "det") else Path(boxes)
    if not file.is_file():
        remedy = "Set boxes to gt, det, off or a file; the truth of test sequences is not public."
        raise InputError(folder, f"expected {file}, found none.", remedy)
    return file


def _size_of(place: Path) -> tuple[int, int]:
    """Return (H, W) of the first frame."""
    if not place.is_dir():
        return read_video(place).source_size
    height, width = load_image(image_files(place)[0]).shape[:2]
    return height, width


def _frames_in(place: Path) -> int:
    """Return the number of frames."""
    if place.is_dir():
        return len(image_files(place))
    if place.suffix.lower() not in VIDEO_ENDINGS:
        raise InputError(place, f"expected a video ({', '.join(VIDEO_ENDINGS)}).", "Convert it.")
    return read_video(place).frame_count()
