"""What readers of real video share: clips of videos that differ in length and size, and ids painted from masks.

A frame is fitted as it is read, so that no more than one is held in full size. Splits are lists of videos, never of
clips: two clips of one video are all but equal.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, split_records
from scenewise.data.splits import SPLITS, check_index
from scenewise.errors import InputError
from scenewise.media.annotations import decode_rle
from scenewise.media.files import reading
from scenewise.media.frames import image_files, load_image
from scenewise.media.reader import fit_ids, fit_images, nearest_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

OVERLAPS = ("ignore", "later", "smaller")
"""What a pixel of several masks becomes: -1, the later mask's, the smaller mask's."""

_LEAST_NUMBERS = 6  # of a polygon: x and y of three points; pycocotools takes four numbers for a box
_SLACK = 2  # pixels by which a mask may be larger or smaller than its image (datasets.md 9: 853 and 854)


@dataclass(frozen=True)
class ClipsConfig(FilesConfig):
    """Settings of every reader of real video; `train`, `validation` and `test` are places among the videos."""

    clip: int | None = setting(
        None, "cut videos into clips of so many frames and drop what is left over; none: whole videos", minimum=1
    )


class ClipsSource(FilesSource):
    """A source of real videos; a subclass says which there are and yields frames and ids one by one.

    Args:
        config: Where the files are, and what is done to frames.
        split: "train", "validation" or "test".
    """

    config: ClipsConfig
    fitted = True

    def _settle_clips(self, videos: range, size: Sequence[int], **facts: Any) -> None:
        """Note which videos are this split's and what is true of them.

        Args:
            videos: Numbers of the videos, as `_count` and the others take them.
            size: (H, W) of a stored image.
            **facts: As of `Facts`, without channels, size and frames.
        """
        self._stored_size = (int(size[0]), int(size[1]))
        self._clips = _cut(videos, [self._count(video) for video in videos], self.config.clip)
        if not len(self._clips):
            longest = max((self._count(video) for video in videos), default=0)
            problem = f"expected videos of at least {self.config.clip or 1} frames, found at most {longest}."
            raise InputError(self.path, problem, "Set clip to fewer frames.")
        lengths = set(self._clips[:, 2].tolist())
        frames = lengths.pop() if len(lengths) == 1 else None
        self._settle(range(len(self._clips)), (*self._stored_size, 3), frames=frames, **facts)

    def fingerprint(self) -> str:
        """Return a hash that also changes with names and numbers of frames."""
        names = [self._name(int(video)) for video in np.unique(self._clips[:, 0])]
        return fingerprints.of_values(super().fingerprint(), names, self._clips.tolist())

    def length(self, index: int) -> int:
        """Return the number of frames of a clip."""
        return int(self._clips[check_index(index, len(self), self.facts.origin)][2])

    def _read(self, record: int, first: int, stop: int) -> Record:
        """Read a part of a clip; extras hold the name of the video, which of its frames, and what the set knows."""
        video, begin, _ = (int(number) for number in self._clips[record])
        span = range(begin + first, begin + stop)
        where = f"{self.path}, video {self._name(video)}"
        labels = self._labels(video, span) if self.facts.has_ids else None
        images, ids = [], []
        scaled = self.config.size is not None or self.config.crop is not None
        for image in self._images(video, span):
            size = (int(image.shape[0]), int(image.shape[1]))
            if not scaled and size != self._stored_size:
                problem = f"expected height and width {self._stored_size} as in the first video, found {size}."
                raise InputError(where, problem, "Set size to scale all videos to one size.")
            self._selection.within(size, where)
            images.append(fit_images(image[None], self._selection, self.config.scaling)[0])
            if labels is not None:
                ids.append(fit_ids(match_size(next(labels), image.shape, where)[None], self._selection)[0])
        if len(images) != len(span):
            problem = f"expected frames {span.start} to {span.stop - 1}, found {len(images)} of them."
            raise InputError(where, problem, "Get or copy the video again.")
        extras = {"video": self._name(video), "frames": np.array(span), **self._more(video, span)}
        return Record(np.stack(images), np.stack(ids) if labels is not None else None, extras)

    @abstractmethod
    def _name(self, video: int) -> str:
        """Return the name of a video."""

    @abstractmethod
    def _count(self, video: int) -> int:
        """Return the number of frames of a video."""

    @abstractmethod
    def _images(self, video: int, span: range) -> Iterator[np.ndarray]:
        """Yield frames of a video as stored, uint8 (H, W, 3)."""

    @abstractmethod
    def _labels(self, video: int, span: range) -> Iterator[np.ndarray]:
        """Yield ids of frames as stored, integers (H, W)."""

    def _more(self, video: int, span: range) -> dict[str, Any]:
        """Return what else is known of frames of a video."""
        return {}


class TreesSource(ClipsSource):
    """Videos that lie as folders of images, mostly with a twin folder of masks each."""

    def _settle_trees(
        self, videos: Sequence[Path], masks: Sequence[Path] | None, records: range, drop: bool, **facts: Any
    ) -> None:
        """Note folders of images and of masks; with `drop`, frames without a mask are left out."""
        self._videos, self._masks, self._drop = videos, masks, drop
        first = self._kept(records.start)
        if not first:
            raise InputError(videos[records.start], "expected images, found none.", "Unpack the set again.")
        size = load_image(first[0]).shape[:2]
        self._settle_clips(records, size, has_ids=masks is not None, max_objects=None, **facts)

    def _files(self) -> list[Path]:
        few = np.unique(self._clips[:, 0])[:8]
        files = [self._kept(int(video))[0] for video in few]
        if self._masks is not None:
            files += [file for video in few for file in image_files(self._masks[int(video)])[:1]]
        return files

    def _kept(self, video: int) -> list[Path]:
        """Return the images of a video that count as its frames."""
        files = image_files(self._videos[video])
        if self._masks is None or not self._drop:
            return files
        stems = self._by_stem(video)
        return [file for file in files if file.stem in stems]

    def _by_stem(self, video: int) -> dict[str, Path]:
        folder = None if self._masks is None else self._masks[video]
        return {} if folder is None or not folder.is_dir() else {file.stem: file for file in image_files(folder)}

    def _name(self, video: int) -> str:
        return self._videos[video].name

    def _count(self, video: int) -> int:
        return len(self._kept(video))

    def _images(self, video: int, span: range) -> Iterator[np.ndarray]:
        files = self._kept(video)
        return (load_image(files[place]) for place in span)

    def _labels(self, video: int, span: range) -> Iterator[np.ndarray]:
        files, masks = self._kept(video), self._by_stem(video)
        for place in span:
            mask = masks.get(files[place].stem)
            yield self._without_mask(video, files[place]) if mask is None else self._mask(mask)

    def _more(self, video: int, span: range) -> dict[str, Any]:
        files, masks = self._kept(video), self._by_stem(video)
        stems = [files[place].stem for place in span]
        facts: dict[str, Any] = {"stems": stems}
        if self._masks is not None:
            facts["annotated"] = np.array([stem in masks for stem in stems])
        return facts

    def _without_mask(self, video: int, image: Path) -> np.ndarray:
        """Return the ids of a frame without a mask; a subclass may know better than to refuse."""
        folder = self._masks[video] if self._masks is not None else self.path
        raise InputError(
            folder, f"expected a mask for every image, found none for {image.name}.", "Unpack the set again."
        )

    @abstractmethod
    def _mask(self, file: Path) -> np.ndarray:
        """Read a mask as integers (H, W)."""


def own_records(config: FilesConfig, split: str, total: int) -> range:
    """Return which videos of a split with a list of its own are read: all, or those that the settings name.

    What other splits have is not compared, since they count other lists.

    Raises:
        InputError: The videos are not in the list, or are none.
    """
    others: dict[str, Any] = {name: None for name in SPLITS if name != split}
    return split_records(replace(config, **others), split, total, {split: (0, total)})


def match_size(ids: np.ndarray, size: Sequence[int], where: object) -> np.ndarray:
    """Scale a mask, by nearest pixel, that is a little larger or smaller than its image.

    Args:
        ids: Integers, shape (H, W).
        size: Height and width of the image; further extents are left aside.
        where: What is read, for messages.

    Raises:
        InputError: It differs by more than two pixels.
    """
    wanted = (int(size[0]), int(size[1]))
    if ids.shape == wanted:
        return ids
    if max(abs(old - new) for old, new in zip(ids.shape, wanted, strict=True)) > _SLACK:
        problem = f"expected masks of height and width {wanted} as its images, found {ids.shape}."
        raise InputError(where, problem, "Do masks and images belong together?")
    warnings.warn(f"{where}: masks {ids.shape} were scaled to the size of the images, {wanted}.", stacklevel=2)
    return nearest_pixels(np.asarray(ids, np.int64), wanted)


def stored_mask(part: Any, size: tuple[int, int], where: object) -> np.ndarray | None:
    """Decode a mask as COCO stores it.

    Args:
        part: RLE, a list of polygons [x, y, x, y, ...] in pixels or one alone, or None or empty where the object is not
            to be seen. A polygon of fewer than three points has no area and is empty.
        size: (H, W) that it must have.
        where: What is read, for messages.

    Returns:
        bool, shape (H, W), or None.

    Raises:
        InputError: It is none of these, is damaged or of another size.
    """
    if not part:
        return None
    remedy = "Get or copy the file again."
    try:
        with reading(where, "COCO RLE or polygons", remedy):
            mask = _filled(part, size) if isinstance(part, list) else decode_rle(part)
    except InputError as error:
        raise InputError(where, error.problem, remedy) from error  # which names the file
    if mask.shape != size:
        raise InputError(where, f"expected masks of {size} as the video, found {mask.shape}.", remedy)
    return mask


def _filled(part: list[Any], size: tuple[int, int]) -> np.ndarray:
    """Return the union of polygons as bool (H, W), filled as COCO does."""
    from pycocotools import mask as coco

    polygons = [part] if part and not isinstance(part[0], list) else part
    polygons = [polygon for polygon in polygons if len(polygon) >= _LEAST_NUMBERS]
    if not polygons:
        return np.zeros(size, bool)
    return np.asarray(coco.decode(coco.merge(coco.frPyObjects(polygons, *size)))).astype(bool)


def paint_masks(masks: Iterable[tuple[int, np.ndarray]], size: tuple[int, int], overlap: str) -> np.ndarray:
    """Turn masks that may overlap into one id per pixel.

    Args:
        masks: Id and bool mask (H, W) of every object.
        size: (H, W).
        overlap: One of `OVERLAPS`.

    Returns:
        int64, shape (H, W): 0 where there is no mask, -1 where there are several and `overlap` is "ignore".
    """
    order = list(masks)
    if overlap == "smaller":
        order.sort(key=lambda item: -int(item[1].sum()))  # stable, so that ties go to the later one
    ids = np.zeros(size, np.int64)
    for number, mask in order:
        if overlap == "ignore":
            ids[mask] = np.where(ids[mask] == 0, number, -1)
        else:
            ids[mask] = number
    return ids


def _cut(videos: range, counts: Sequence[int], clip: int | None) -> np.ndarray:
    """Return video, first frame and number of frames of every clip, int64 (n, 3)."""
    rows = [
        (video, begin, clip or count)
        for video, count in zip(videos, counts, strict=True)
        for begin in range(0, count - (clip or count) + 1, clip or max(count, 1))
        if count
    ]
    return np.array(rows, np.int64).reshape(-1, 3)
