"""How many files a reader has to open who follows a command: those whose functions it enters, imports left out.

A number above its bound says that something joined the way of every video or every run. Does it have to, at that place,
and could it lie with what is beside it?
"""

import os
import sys
import threading
from pathlib import Path

import pytest
from tests.processes import Process, main_of

import scenewise
from scenewise.media import VideoWriter

ROOT = Path(scenewise.__file__).parent

WRITING = {
    "decompose/export/formats.py",
    "media/annotations.py",
    "media/palette.py",
    "media/writing.py",
    "report/page.py",
    "report/templates/__init__.py",
    "report/tiles.py",
}
"""What is entered to write files about a video and for nothing else; with a second core a process of its own does."""

SCORING = {
    "evaluation/metric.py",
    "evaluation/protocols.py",
    "metrics/ari.py",
    "metrics/arrays.py",
    "metrics/reconstruction.py",
}
"""What is entered, in the same process, to score a video that comes with ids."""


def tell_files(words, told):
    """Run a command on one core, where one process does it all, and write the files that it enters, one a line."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    entered, importing = set(), threading.local()

    def see(frame, event, _):
        code = frame.f_code
        depth = getattr(importing, "depth", 0)
        if code.co_name == "<module>":
            importing.depth = depth + {"call": 1, "return": -1}.get(event, 0)
        elif event == "call" and not depth and code.co_filename.startswith(str(ROOT)):
            entered.add(code.co_filename)

    threading.setprofile(see)
    sys.setprofile(see)
    code = main_of(words)
    sys.setprofile(None)
    threading.setprofile(None)
    files = sorted(str(Path(name).relative_to(ROOT)) for name in entered if name.endswith(".py"))
    Path(told).write_text("\n".join(files))
    return code


@pytest.fixture
def clip(tmp_path):
    import numpy as np

    with VideoWriter(tmp_path / "clip.mp4", (32, 32), 10) as writer:
        for level in range(3):
            writer.write(np.full((32, 32, 3), 40 * level, np.uint8))
    return tmp_path / "clip.mp4"


def files_of(tmp_path, *words):
    process = Process(tell_files, [str(word) for word in words], str(tmp_path / "files"))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return (tmp_path / "files").read_text().split("\n")


def test_a_video_is_taken_apart_on_a_short_way(tmp_path, clip):
    files = files_of(tmp_path, "decompose", clip, "--out", tmp_path / "out", "--device", "cpu")
    assert "decompose/decomposer.py" in files
    assert len(files) <= 52, files
    assert len(set(files) - WRITING) <= 45, files


def test_a_video_of_a_source_is_taken_apart_on_a_short_way(tmp_path):
    files = files_of(tmp_path, "decompose", "balls-colour#3", "--out", tmp_path / "out", "--device", "cpu")
    assert {"data/generated/balls/source.py", *WRITING, *SCORING} <= set(files)
    assert len(files) <= 59, files
    assert len(set(files) - WRITING - SCORING) <= 47, files


def test_a_run_is_trained_on_a_short_way(tmp_path):
    words = ("training.steps=2", "training.device=cpu", "training.validate_every=2")
    files = files_of(tmp_path, "train", "provide-tiny", "--out", tmp_path / "run", *words)
    assert "training/loop.py" in files
    assert len(files) <= 48, files
