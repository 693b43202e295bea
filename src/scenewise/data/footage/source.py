"""The user's own videos as training data: clips of a fixed length, split by time.

The first part of every file is for training, the next for validation, the last for testing; between two parts some
frames are left out, and a clip lies inside one part. Clips are never dealt out at random: neighbouring frames are all
but equal, and a random split would test on what was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import build, plain, setting
from scenewise.data import fingerprints
from scenewise.data.contract import Description, Facts, Sample, Source, register_source
from scenewise.data.footage import cache
from scenewise.data.footage.background import emptiest
from scenewise.data.footage.inspect import FootageReport, inspect
from scenewise.data.footage.sampling import NOMINAL, ClipSampler, Draw, Variation
from scenewise.data.splits import SPLITS, check_index, check_span, check_split, time_block
from scenewise.errors import InputError
from scenewise.media.files import reading
from scenewise.media.reading import read_videos

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.data.contract import Progress
    from scenewise.media.reader import VideoReader

__all__ = ["FootageConfig", "FootageReport", "FootageSource", "inspect"]

Behind = Literal["none", "emptiest", "shared"]
_LARGEST_GAP = 0.02  # of a file
_OF_ALL_FILES = 120  # frames of which a picture for all files is made, or one of each where there are more


@dataclass(frozen=True)
class FootageConfig:
    """Settings of footage."""

    files: tuple[str, ...] = setting((), "video files, folders of frames, folders of these, npy, npz or h5 files")
    clip_length: int = setting(20, "frames of a clip", minimum=1, maximum=10_000)
    frame_step: int = setting(1, "frames of the file from one frame of a clip to the next", minimum=1, maximum=1000)
    stride: int | None = setting(
        None, "frames of the file from one clip to the next; none: half a clip in training, else a clip", minimum=1
    )
    crop: tuple[int, int, int, int] | None = setting(None, "top, left, height, width in source pixels", minimum=0)
    size: tuple[int, int] | None = setting((64, 64), "height and width of the frames", minimum=8, maximum=4096)
    shares: tuple[float, float, float] = setting(
        (0.8, 0.1, 0.1), "part of every file for train, validation, test, in this order", minimum=0.0, maximum=1.0
    )
    gap: int | None = setting(
        None, "frames left out between two parts; none: a clip, but at most 2 % of the file", minimum=0
    )
    background: Behind = setting(
        "none", "Picture behind everything: none, the emptiest of each file, or shared: one of all files, of one camera"
    )
    variation: Variation = field(default_factory=Variation)
    layout: str | None = setting(None, "axes of array files, such as NTHWC")
    key: str | None = setting(None, "name of the array in npz and h5 files")
    stream: int | None = setting(None, "which video of files with several, from 0; none: their default one", minimum=0)
    cache: str | None = setting(None, "folder for decoded frames; none: the user's cache folder")

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if sum(self.shares) > 1 + 1e-9:
            raise InputError("shares", f"are parts of a file and must not sum to more than 1; found {self.shares}.")

    @property
    def span(self) -> int:
        """Frames of the file that a clip reaches over."""
        return (self.clip_length - 1) * self.frame_step + 1


@register_source(
    "footage",
    Description(
        what="clips of your own videos, split by time, without ground truth",
        kind="files",
        size="clips of 20 frames of 64 x 64, or as set",
        licence="yours",
        obtain="files=[clip.mp4]; see docs/footage.md",
    ),
)
class FootageSource(Source):
    """Clips of the user's videos. Every file is decoded once, when the source is made, into a cache on disk.

    Args:
        config: Files and settings.
        split: "train", "validation" or "test".
        progress: Called with name, frames done and frames expected while a file is decoded.

    Raises:
        InputError: A file cannot be read, files differ in size, or no file is long enough for one clip.
    """

    config_class = FootageConfig

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the source of clips; see `Source.create`."""
        return cls(build(FootageConfig, settings, f"source {name}"), split, progress)

    def __init__(
        self,
        config: FootageConfig,
        split: str = "train",
        progress: Progress | None = None,
    ) -> None:
        self.config = config
        self.split = check_split(split)
        readers = _readers(config)
        self.names = [reader.name for reader in readers]
        self.crop, self.source_size = config.crop, readers[0].source_size
        folder = Path(config.cache) if config.cache else cache.default_folder()
        self._paths = [cache.decoded(reader, folder, progress) for reader in readers]
        self._contents = [cache.contents(reader) for reader in readers]
        self._maps: dict[int, np.ndarray] = {}
        self._backgrounds: dict[int, np.ndarray] = {}
        self._clips = self._place_clips()
        self._drawing = self._make_drawing() if split == "train" and config.variation != Variation() else None
        self.facts = Facts(
            channels=3,
            size=readers[0].size,
            frames=config.clip_length,
            max_objects=None,
            has_ids=False,
            origin=f"footage: {', '.join(self.names[:3])}" + (" ..." if len(readers) > 3 else ""),
        )

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._clips) if self._drawing is None else NOMINAL

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps behind when handed to another process."""
        return {**self.__dict__, "_maps": {}}

    def fingerprint(self) -> str:
        """Return a hash of the files' contents, the split and the settings other than paths."""
        settings = {key: value for key, value in plain(self.config).items() if key not in ("files", "cache")}
        for key in ("background", "variation"):  # runs from before these settings go on
            if getattr(self.config, key) == getattr(FootageConfig(), key):
                del settings[key]
        if self.config.stream is None:
            del settings["stream"]  # as it was before there was a choice
        return fingerprints.of_values(self._contents, self.split, settings)

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one clip; extras name its file and the numbers of its frames there."""
        clip = self._clip(index)
        first, stop = check_span(start, frames, self.config.clip_length, self.facts.origin)
        numbers = range(clip.begin + first * clip.step, clip.begin + (stop - 1) * clip.step + 1, clip.step)
        images = clip.varied(self._file(clip.file)[numbers.start : numbers.stop : clip.step])
        shown = np.ascontiguousarray(np.moveaxis(images, -1, 1))  # (T, H, W, C) -> (T, C, H, W)
        return Sample(shown, None, {"file": self.names[clip.file], "numbers": np.array(numbers)})

    def background(self, index: int) -> np.ndarray | None:
        """Return the emptiest picture of a clip's file, or of all files, varied as the clip is; None for none."""
        if self.config.background == "none":
            return None
        clip = self._clip(index)
        return np.ascontiguousarray(np.moveaxis(clip.varied(self._emptiest(clip.file)), -1, 0))

    def _clip(self, index: int) -> Draw:
        number = check_index(index, len(self), self.facts.origin)
        if self._drawing is not None:
            return self._drawing.draw(number)
        file, begin = self._clips[number]
        return Draw(file, begin, self.config.frame_step, flip=False, shift=(0, 0))

    def _emptiest(self, file: int) -> np.ndarray:
        shared = self.config.background == "shared"
        file = 0 if shared else file
        if file not in self._backgrounds:  # of whole files: no part may have seen all places empty
            frames = self._of_all_files() if shared else self._file(file)
            self._backgrounds[file] = emptiest(frames).pixels
        return self._backgrounds[file]

    def _of_all_files(self) -> np.ndarray:
        """Return frames evenly over every file, about as many of each, (T, H, W, C)."""
        places = (np.arange(each := -(-_OF_ALL_FILES // len(self._paths))) + 0.5) / each
        files = (self._file(number) for number in range(len(self._paths)))
        return np.concatenate([file[np.unique((places * len(file)).astype(int))] for file in files])

    def _make_drawing(self) -> ClipSampler:
        """Return what draws training clips from files with room for one."""
        config = self.config
        parts = [self._part(file) for file in range(len(self._paths))]
        roomy = {file: part for file, part in enumerate(parts) if part[1] - part[0] >= config.clip_length}
        return ClipSampler(config.variation, roomy, self._file, config.clip_length)

    def _file(self, file: int) -> np.ndarray:
        if file not in self._maps:
            with reading(self._paths[file], "decoded frames", "Remove the file; it is made again."):
                self._maps[file] = np.load(self._paths[file], mmap_mode="r", allow_pickle=False)
        return self._maps[file]

    def _place_clips(self) -> list[tuple[int, int]]:
        """Return file and first frame of every clip."""
        config, clips = self.config, []
        stride = config.stride or max(1, config.span // 2 if self.split == "train" else config.span)
        for file in range(len(self._paths)):
            first, stop = self._part(file)
            clips += [(file, begin) for begin in range(first, stop - config.span + 1, stride)]
        if not clips:
            share = config.shares[SPLITS.index(self.split)]
            problem = (
                f"the {self.split} part ({share:.0%} of each file) has no room for a clip of {config.clip_length} "
                f"frames at frame_step {config.frame_step}; the longest file has {self._longest} frames."
            )
            raise InputError("footage", problem, "Lower clip_length or frame_step, change shares, or add footage.")
        return clips

    @property
    def _longest(self) -> int:
        return max(len(self._file(file)) for file in range(len(self._paths)))

    def _part(self, file: int) -> tuple[int, int]:
        """Return the first frame of a file's part for this split, and the frame after its last."""
        length = len(self._file(file))
        gap = min(self.config.span, int(_LARGEST_GAP * length)) if self.config.gap is None else self.config.gap
        return time_block(self.split, length, self.config.shares, gap)


def _readers(config: FootageConfig) -> list[VideoReader]:
    """Open all files; a path given twice counts once."""
    if not config.files:
        raise InputError("files", "no footage was given.", "Name video files or folders of frames.")
    readers: list[VideoReader] = []
    for path in dict.fromkeys(Path(file).absolute() for file in config.files):
        selection: Any = {"size": config.size, "crop": config.crop, "stream": config.stream}
        readers += read_videos(path, layout=config.layout, key=config.key, **selection)
    for reader in readers[1:]:
        if reader.size != readers[0].size:
            problem = f"expected frames of {readers[0].size} as in {readers[0].path.name}, found {reader.size}."
            raise InputError(reader.path, problem, "Set size to scale all footage to one size.")
    return readers
