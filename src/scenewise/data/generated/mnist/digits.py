"""The digits of textured and moving MNIST: from a user's MNIST files, or else the small ones of scikit-learn."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scenewise.config import plain, setting
from scenewise.data.containers.idx import read_digits
from scenewise.data.fingerprints import of_file, of_values
from scenewise.data.splits import time_block
from scenewise.errors import InputError

SIDE = 28
"""Height and width of a digit in pixels."""

MOST = 8
"""Largest number of digits."""

LICENCE = "of the digits: MNIST CC BY-SA 3.0; scikit-learn's (UCI) CC BY 4.0"
OBTAIN = "nothing with scikit-learn's digits; for MNIST's give its IDX files as images= and labels="

_INK = 20  # MNIST's digits lie in the middle 20 x 20 of their 28 x 28 pixels


@dataclass(frozen=True)
class DigitFiles:
    """Paths of MNIST's files; empty where there are none.

    Attributes:
        images: IDX file of images, for all splits unless there are test files.
        labels: IDX file of their labels.
        test_images: IDX file of images for the split "test" alone.
        test_labels: IDX file of their labels.
    """

    images: str = ""
    labels: str = ""
    test_images: str = ""
    test_labels: str = ""

    def check(self) -> None:
        """Check that images and labels come together; raises InputError."""
        for prefix in ("", "test_"):
            images, labels = getattr(self, f"{prefix}images"), getattr(self, f"{prefix}labels")
            if bool(images) != bool(labels):
                missing = f"{prefix}labels" if images else f"{prefix}images"
                raise InputError(missing, "is missing: images and labels come in two files.", "Give both.")
        if self.test_images and not self.images:
            raise InputError("images", "is missing: test files alone leave nothing to train on.", "Give both.")

    @property
    def origin(self) -> str:
        """Where the digits come from, in words."""
        if not self.images:
            return "scikit-learn's 8 x 8 digits, enlarged"
        files = [Path(file).name for file in (self.images, self.test_images) if file]
        return f"MNIST digits of {' and '.join(files)}"

    def fingerprint(self) -> str:
        """Return a hash of the files' contents, wherever they lie."""
        paths = (self.images, self.labels, self.test_images, self.test_labels)
        return of_values("digits", [of_file(path) if path else "" for path in paths])


@dataclass(frozen=True)
class DigitSettings:
    """Settings of all generators that show digits: how many, and where they are read."""

    min_digits: int = setting(2, "smallest number of digits", minimum=1, maximum=MOST)
    max_digits: int = setting(2, "largest number of digits", minimum=1, maximum=MOST)
    images: str = setting("", "MNIST's IDX file of images, plain or gzipped; empty: scikit-learn's digits")
    labels: str = setting("", "MNIST's IDX file of labels")
    test_images: str = setting("", "IDX file of images for the test split alone")
    test_labels: str = setting("", "IDX file of their labels")

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if self.min_digits > self.max_digits:
            raise InputError("min_digits", f"is {self.min_digits}, more than max_digits = {self.max_digits}.")
        self.files.check()

    @property
    def files(self) -> DigitFiles:
        """Where digits are read."""
        return DigitFiles(self.images, self.labels, self.test_images, self.test_labels)

    def fingerprint(self, *more: Any) -> str:
        """Return a hash of the settings, of other plain values, and of the files' contents, wherever they lie."""
        settings = {name: value for name, value in plain(self).items() if not name.endswith(("images", "labels"))}
        return of_values(*more, settings, self.files.fingerprint())


class Digits(NamedTuple):
    """Digits of N images or videos; n is the largest number of them.

    Attributes:
        counts: How many there are, shape (N,).
        inks: uint8, shape (N, n, 28, 28), all 0 for absent ones.
        labels: 0 to 9, shape (N, n); -1 for absent ones.
        chosen: Places in the split's digits, shape (N, n).
    """

    counts: np.ndarray
    inks: np.ndarray
    labels: np.ndarray
    chosen: np.ndarray


def draw_digits(config: DigitSettings, split: str, numbers: np.ndarray, choices: np.ndarray) -> Digits:
    """Return the digits that random numbers in [0, 1) stand for.

    Args:
        config: How many, and where they are read.
        split: "train", "validation" or "test".
        numbers: How many there are of them, shape (N,).
        choices: Which they are, shape (N, n).
    """
    images, labels = load(config.files, split)
    counts = config.min_digits + (numbers * (config.max_digits - config.min_digits + 1)).astype(np.int64)
    absent = np.arange(config.max_digits) >= counts[:, None]
    rows = (choices * len(labels)).astype(np.int64)
    inks = images[rows] * ~absent[..., None, None]
    return Digits(counts, inks, np.where(absent, -1, labels[rows].astype(np.int64)), rows)


def load(files: DigitFiles, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of a split; splits share none.

    With test files the split "test" has all of theirs, and "train" and "validation" have 5/6 and 1/6 of the others, in
    their order: 50,000 and 10,000 as in Tagger. Otherwise the splits have 5/7, 1/7 and 1/7 of all.

    Args:
        files: Where digits are read.
        split: "train", "validation" or "test".

    Returns:
        Grey digits, uint8, shape (N, 28, 28), and their labels, uint8, shape (N,).

    Raises:
        InputError: A file is wrong, or there are neither files nor scikit-learn.
    """
    apart = bool(files.test_images)
    test = apart and split == "test"
    paths = (files.test_images, files.test_labels) if test else (files.images, files.labels)
    if files.images:
        images, labels = _of_files(*paths, *(_stamp(path) for path in paths))
    else:
        images, labels = small_digits()
    shares = (5 / 6, 1 / 6, 0.0) if apart else (5 / 7, 1 / 7, 1 / 7)
    first, stop = (0, len(labels)) if test else time_block(split, len(labels), shares)
    if first == stop:
        raise InputError(files.images, f"{len(labels)} digits are too few for the split {split!r}.", "Give more.")
    return images[first:stop], labels[first:stop]


def _stamp(path: str) -> tuple[int, int]:
    """Return when a file was changed and its size, or zeros where there is none: reading it tells."""
    try:
        status = Path(path).stat()
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=4)
def _of_files(images: str, labels: str, *stamps: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of two files; their stamps make a changed file be read again."""
    pictures, digits = read_digits(images, labels)
    if pictures.shape[1:] != (SIDE, SIDE):
        raise InputError(
            images, f"expected images of {SIDE} x {SIDE}, found {pictures.shape[1]} x {pictures.shape[2]}."
        )
    return pictures, digits


@functools.lru_cache(maxsize=1)
def small_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits, smoothly enlarged to the size and contrast of MNIST's."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            "images",
            "names no MNIST file, and scikit-learn with its small digits is not there.",
            "Set images=t10k-images-idx3-ubyte.gz labels=t10k-labels-idx1-ubyte.gz, or install scikit-learn.",
        ) from error
    from scipy.ndimage import zoom

    small, labels = load_digits(return_X_y=True)
    grey = small.reshape(-1, 8, 8) / 16
    large = zoom(grey, (1, _INK / 8, _INK / 8), order=3, mode="grid-constant", grid_mode=True)
    steep = np.clip(0.5 + 2.5 * (large - 0.5), 0, 1)  # pen strokes with narrow grey edges
    edge = (SIDE - _INK) // 2
    padded = np.pad(np.rint(255 * steep), ((0, 0), (edge, edge), (edge, edge)))
    return padded.astype(np.uint8), labels.astype(np.uint8)
