"""Arrays on disk (npy, npz, h5) as videos, by an explicit layout."""

from __future__ import annotations

import math
import os
import zipfile
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.documents import repeated, shortened
from scenewise.errors import InputError, nearest
from scenewise.media.files import FileLength, check_readable, reading
from scenewise.media.hdf5 import check_dataset, open_h5
from scenewise.media.npy import MOST_PACKED, UNPACKED_ANYWAY, check_mapped, check_packing, read_header
from scenewise.media.pixels import to_rgb, to_uint8
from scenewise.media.reader import MediaFrame, Selection, VideoReader, fit, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARRAY_ENDINGS = (".npy", ".npz", ".h5", ".hdf5")
LAYOUTS = ("NTHWC", "TNHWC", "NTCHW", "TNCHW", "THWC", "TCHW", "NTHW", "TNHW", "THW", "HWC", "CHW", "HW")

_CHANNELS = (1, 3, 4)
_LARGEST_UNPACKED = 1 << 32  # bytes of a compressed npz member that is unpacked in memory
_LARGEST_EMPTY = 1 << 28  # bytes of an h5 data set that were never written
_REMEDY = "Write the file again."


@dataclass(frozen=True)
class _Array:
    """One array in a file."""

    path: Path
    key: str | None
    shape: tuple[int, ...]
    layout: str

    def length(self, letter: str) -> int:
        """Return the extent along an axis, 1 where the layout lacks it."""
        return self.shape[self.layout.index(letter)] if letter in self.layout else 1


class ArrayReader(VideoReader):
    """Video `video` of N in an array file; see `VideoReader`. Frames are sliced from disk one by one.

    Args:
        array: What `open_arrays` found.
        video: Index along N.
        name: Name for output folders.
        selection: What is wanted.

    Raises:
        InputError: The crop reaches outside the frame, or values are out of range.
    """

    def __init__(self, array: _Array, video: int, name: str, selection: Selection) -> None:
        size = (array.length("H"), array.length("W"))
        super().__init__(array.path, name, size, selection, total=array.length("T"))
        self._array, self._video = array, video
        self.choices = {"layout": array.layout} if array.key is None else {"layout": array.layout, "key": array.key}

    def _read(self) -> Iterator[MediaFrame]:
        total = range(self._array.length("T"))
        with opened(self._array.path, self._array.key) as values:
            length = FileLength(self._array.path)
            for index in total[self.selection.start : self.selection.stop : self.selection.every]:
                where = f"{self.path}, video {self._video}, frame {index}"
                with reading(where, "a frame that can be read", _REMEDY):
                    check_mapped(values)
                    image = _frame(values, self._array.layout, self._video, index)
                    length.check()
                    if image.dtype.kind in "iu" and image.size and image.max() == 1:
                        black = "integers of 0 and 1 are read as 0 and 1 of 255, nearly black"
                        self.note(f"{black}; store bool for black and white.")
                    image = to_rgb(to_uint8(image, where))
                yield MediaFrame(index, None, fit(image, self.selection))


def open_arrays(path: Path, layout: str | None, key: str | None, selection: Selection) -> list[ArrayReader]:
    """Return one reader for each of the N videos in an npy, npz or h5 file.

    Args:
        path: The file.
        layout: One letter per axis: N videos, T frames, H, W, C; H and W are required.
        key: Name of the array in an npz or h5 file; may be left out where there is only one.
        selection: What is wanted of each.

    Raises:
        InputError: No layout, one that does not match the shape, an unknown key, or a file that cannot be read.

    Examples:
        Two grey videos of five frames in one file:

        >>> from pathlib import Path
        >>> np.save("balls.npy", np.zeros((2, 5, 8, 6), np.uint8))
        >>> readers = open_arrays(Path("balls.npy"), "NTHW", None, Selection(every=2))
        >>> [(reader.name, reader.size, reader.length_hint) for reader in readers]
        [('balls_0', (8, 6), 3), ('balls_1', (8, 6), 3)]
    """
    check_readable(path)
    with opened(path, key) as values:
        array = _Array(path, key, tuple(values.shape), _checked_layout(path, values, layout))
    count, stem = array.length("N"), safe_name(path)
    width = len(str(count - 1))
    names = [stem] if "N" not in array.layout else [f"{stem}_{i:0{width}}" for i in range(count)]
    return [ArrayReader(array, i, name, selection) for i, name in enumerate(names)]


@contextmanager
def opened(path: Path, key: str | None) -> Iterator[Any]:
    """Open an array without reading it: a memory map or an h5 data set that can be sliced.

    Args:
        path: An npy, npz or h5 file. A compressed npz is the exception: it is unpacked in memory.
        key: Name of the array in the file, or None for the only one.

    Raises:
        InputError: The file is broken, pickled, or has no such array.

    Examples:
        >>> from pathlib import Path
        >>> np.savez("two.npz", frames=np.zeros((5, 8, 6)), ids=np.ones((5, 8, 6), int))
        >>> with opened(Path("two.npz"), "ids") as values:
        ...     values.shape, int(values[3, 0, 0])
        ((5, 8, 6), 1)
        >>> with opened(Path("two.npz"), "id") as values:
        ...     pass
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: two.npz: has no array 'id'; found: frames (5, 8, 6), ids (5, 8, 6). ...
    """
    ending = path.suffix.lower()
    if ending == ".npy":
        with reading(path, "a plain npy array; pickled objects are never loaded", _REMEDY):
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        yield values
    elif ending == ".npz":
        with reading(path, "an npz file of plain arrays; pickled objects are never loaded", _REMEDY):
            values = _npz_member(path, key)
        yield values
    else:
        with closing(open_h5(path, rdcc_nbytes=1 << 25)) as file:  # keeps a chunk that spans several frames
            with reading(path, "an HDF5 file", _REMEDY):
                name = _chosen(path, key, _h5_shapes(file))
                values = file[name.encode("utf-8", "surrogateescape")]
            check_dataset(path, values, path.stat().st_size, _LARGEST_EMPTY)  # all of it is going to be read
            yield values


def _h5_shapes(file: Any) -> dict[str, tuple[int, ...]]:
    import h5py

    shapes: dict[str, tuple[int, ...]] = {}

    def enter(name: bytes) -> None:
        item = h5py.h5o.open(file.id, name)  # h5py's own objects cost several times as much
        if isinstance(item, h5py.h5d.DatasetID):
            shapes[name.decode(errors="surrogateescape")] = item.shape or ()

    h5py.h5o.visit(file.id, enter)
    return shapes


def _npz_member(path: Path, key: str | None) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if twice := repeated(info.filename.removesuffix(".npy") for info in archive.infolist()):
            raise InputError(path, f"holds {shortened(twice[0])} more than once.", _REMEDY)
        shapes = {}
        for name, info in members.items():
            check_packing(info, path)
            with suppress(ValueError), archive.open(info) as file:  # what else may lie beside arrays has no such head
                shapes[name] = read_header(file)[0]
        info = members[_chosen(path, key, shapes)]
        if info.compress_type == zipfile.ZIP_STORED:
            return _map_member(path, archive, info)
        _check_unpacked(path, archive, info)
        with archive.open(info) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def _check_unpacked(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Check that a compressed array may be unpacked: it has the size it tells, and that is not too large."""
    with archive.open(info) as file:
        shape, _, dtype = read_header(file)
        end = file.tell() + math.prod(shape) * dtype.itemsize
    if end != info.file_size and not dtype.hasobject:
        raise InputError(path, f"tells of {end} bytes of an array and holds {info.file_size}.", _REMEDY)
    blown_up = info.file_size > UNPACKED_ANYWAY and info.file_size > MOST_PACKED * info.compress_size
    most = min(_LARGEST_UNPACKED, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    if info.file_size > most or blown_up:
        sizes = f"{info.file_size >> 20} MiB of {info.compress_size >> 10} KiB"
        remedy = "Save it with np.save instead."
        raise InputError(path, f"its compressed array is too large to unpack: {sizes}.", remedy)


def _map_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """Map an uncompressed array inside the archive."""
    with archive.open(info) as file:
        shape, fortran, dtype = read_header(file)
        header = file.tell()
    if dtype.hasobject:
        raise InputError(path, "holds pickled objects, which are never loaded.", "Save plain arrays.")
    with path.open("rb") as raw:
        raw.seek(info.header_offset + 26)  # where a zip member tells the lengths of its name and extra field
        lengths = raw.read(4)
    start = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    return np.memmap(path, dtype, "r", start + header, shape, "F" if fortran else "C")


def _chosen(path: Path, key: str | None, shapes: dict[str, tuple[int, ...]]) -> str:
    listing = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "none"
    if key is None and len(shapes) == 1:
        return next(iter(shapes))
    if key is None:
        remedy = "Name one with --key (data.settings.key in training)."
        raise InputError(path, f"expected one array; found: {listing}.", remedy)
    if key.strip("/") not in shapes:
        raise InputError(path, f"has no array {key!r}; found: {listing}.", nearest(key, shapes))
    return key.strip("/")


def _checked_layout(path: Path, values: Any, layout: str | None) -> str:
    shape = tuple(values.shape)
    array = f"an array of shape {shape} and dtype {values.dtype}"
    names = [name for name in LAYOUTS if len(name) == len(shape)]
    plausible = [name for name in names if "C" not in name or shape[name.index("C")] in _CHANNELS]
    listing = ", ".join(plausible) or "none for this shape"
    meaning = f"one letter per axis (N videos, T frames, H, W, C); plausible: {listing}"
    choice = f"Give --layout (data.settings.layout in training) with {meaning}."
    if layout is None:
        raise InputError(path, f"expected to be told what its axes are; found {array}.", choice)
    letters = layout.upper()
    if len(set(letters)) != len(letters) or not {"H", "W"} <= set(letters) <= set("NTHWC"):
        raise InputError(path, f"layout {layout!r} is not made of N, T, H, W, C, each once, with H and W.", choice)
    if len(letters) != len(shape):
        raise InputError(path, f"layout {layout!r} names {len(letters)} axes; found {array}.", choice)
    if "C" in letters and shape[letters.index("C")] not in _CHANNELS:
        problem = f"layout {layout!r} gives {shape[letters.index('C')]} channels; expected 1, 3 or 4 in {array}."
        raise InputError(path, problem, choice)
    if math.prod(shape) == 0:
        raise InputError(path, f"holds no frame: {array}.", _REMEDY)
    return letters


def _frame(values: Any, layout: str, video: int, index: int) -> np.ndarray:
    """Return one frame as stored, axes in the order (H, W, C)."""
    place = {"N": video, "T": index}
    image = np.asarray(values[tuple(place.get(letter, slice(None)) for letter in layout)])
    rest = [letter for letter in layout if letter not in place]
    if "C" not in rest:
        image, rest = image[..., None], [*rest, "C"]
    return image.transpose([rest.index(letter) for letter in "HWC"])  # (H, W, C)
