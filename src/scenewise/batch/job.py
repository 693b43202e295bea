"""What is done to every video of a batch, what is done to one, and what came of it: plain values that travel."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scenewise.decompose.result import Request

RESULTS, THUMBNAILS = "videos", "thumbnails"
"""Folders of a batch's results and of its small pictures, in both of which a video has its name."""

_LONGEST = 255  # bytes of a file's name


def thumbnail(name: str) -> str:
    """Return where the small picture of a video is, below a batch's folder; names too long for one more ending are cut.

    Examples:
        >>> thumbnail("a/clip.mp4"), len(thumbnail("v" * 251 + ".mp4"))
        ('thumbnails/a/clip.mp4.jpg', 59)
    """
    folder, _, last = f"{THUMBNAILS}/{name}".rpartition("/")
    if len(os.fsencode(last)) > _LONGEST - len(".jpg"):
        last = f"{last[:27]}-{hashlib.sha256(os.fsencode(last)).hexdigest()[:16]}"
    return f"{folder}/{last}.jpg"


@dataclass(frozen=True)
class BatchJob:
    """What is done to every video.

    Attributes:
        out: Folder of the batch.
        model: Name of a model that ships, or a model folder.
        fingerprint: The model's.
        device: Where it runs.
        request: Size, slots, refinements and seed, as `Request` takes them.
        reading: Options of `read_videos`.
        formats: What to write, all formats where None.
        most_frames: A longer video is refused; None for no limit.
        most_bytes: A larger download is refused; None for no limit.
        redirects: Whether an http server may send a download elsewhere.
        engine: What explains frames, one of `runtimes.ENGINES`, or "auto": a quick one for each long video.

    Examples:
        >>> job = BatchJob("out", "provide-balls-colour", "a1b2", request={"slots": 5})
        >>> BatchJob.read(job.text()) == job
        True
        >>> job.key() == BatchJob("elsewhere", "a-copy", "a1b2", request={"slots": 5}).key()  # the same work
        True
    """

    out: str
    model: str
    fingerprint: str
    device: str = "auto"
    request: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)
    formats: list[str] | None = None
    most_frames: int | None = None
    most_bytes: int | None = None
    redirects: bool = True
    engine: str = "auto"

    def key(self) -> str:
        """Return a short hash of all that decides what is written: results of one key compare."""
        decisive: list[Any] = [self.fingerprint, asdict(self.asked()), self.reading, self.formats]
        if self.engine not in ("auto", "torch"):
            decisive.append(self.engine)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]

    def asked(self) -> Request:
        """Return what is asked of the model.

        Raises:
            InputError: A number is out of range.
        """
        size = self.request.get("size")
        return Request(**{**self.request, "size": None if size is None else tuple(size)})

    def text(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> BatchJob:
        """Return what `text` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Task:
    """One video to be taken apart.

    Attributes:
        name: Its relative path, which is that of its results too.
        location: A path, or the address of a remote file.
        place: Which video of an array file with several, from 0.
        overwrite: Replace results that are there.
        title: What the results call it, where its file is only a copy; empty for the file's name.
    """

    name: str
    location: str
    place: int | None = None
    overwrite: bool = False
    title: str = ""

    def folder(self, job: BatchJob) -> Path:
        """Return where its results go."""
        return Path(job.out) / RESULTS / self.name


@dataclass(frozen=True)
class Outcome:
    """What came of one try.

    Attributes:
        name: The task's.
        error: Why there are no results; empty where there are.
        killed: Whether the process that worked on it was gone, which says nothing of the video.
        verdict: In the words of `Summary`.
        objects: Number of slots taken for objects.
        frames: Frames taken apart.
        seconds: Wall-clock seconds.
        files: Names of the files written.
        problems: What was wrong with the file all the same.
    """

    name: str
    error: str = ""
    killed: bool = False
    verdict: str = ""
    objects: int = 0
    frames: int = 0
    seconds: float = 0.0
    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FrameCount:
    """How far a video is.

    Attributes:
        name: The task's.
        frames: Frames done.
        total: Frames expected, or None.
    """

    name: str
    frames: int
    total: int | None
