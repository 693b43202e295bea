"""Before the model is there the page has a picture of the source, and when the process ends it does so at once."""

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video
from scenewise.viewer.opening import Opening


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Thirty frames of 48 x 96 pixels, each of its own grey; the right half is red."""
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    with VideoWriter(path, (48, 96), 10) as writer:
        for t in range(30):
            frame = np.full((48, 96, 3), 60 + 4 * t, np.uint8)
            frame[:, 48:] = (200, 30, 30)
            writer.write(frame)
    return path


def picture_of(opening):
    answer = opening.glance({})
    return answer.facts, np.asarray(Image.open(io.BytesIO(answer.files["source"]))).astype(int)


def test_the_source_is_shown_before_there_is_a_model(clip):
    facts, picture = picture_of(Opening("clip", lambda: None, read_video(clip)))
    assert facts == {"loading": True, "number": 12, "frames": 30, "aspect": 2.0}
    assert picture.shape == (48, 96, 3)
    assert np.abs(picture[:, :40] - (60 + 4 * 12)).max() < 12
    assert np.abs(picture[:, 56:] - (200, 30, 30)).max() < 40


def test_the_part_that_is_looked_at_is_shown(clip):
    facts, picture = picture_of(Opening("clip", lambda: None, read_video(clip, crop=(0, 48, 48, 48))))
    assert facts["aspect"] == 1
    assert np.abs(picture - (200, 30, 30)).max() < 40


def test_the_desk_is_opened_once_and_nothing_is_glanced_at_from_then_on(clip):
    times = []
    opening = Opening("clip", lambda: times.append(1) or "a desk", read_video(clip))
    assert [opening.desk(), opening.desk()] == ["a desk", "a desk"]
    assert times == [1]
    assert opening.glance({}).facts == {"loading": False}


def test_what_cannot_be_opened_is_tried_once_and_told_to_everyone(clip):
    times = []

    def fail():
        times.append(1)
        raise InputError("weights", "are damaged.")

    opening = Opening("clip", fail, read_video(clip))
    for _ in range(2):
        with pytest.raises(InputError, match="are damaged"):
            opening.answer({"do": "hello"})
    assert times == [1]
    assert opening.glance({}).facts == {"loading": False}


def test_the_page_is_ready_without_torch(clip):
    pytest.importorskip("fastapi", reason="the extra `viewer` is not installed")
    script = (
        "import sys\n"
        "from scenewise.cli import command_parser\n"
        "from scenewise.cli.view import opening_of\n"
        "import scenewise.viewer.server\n"
        "args = command_parser(sys.argv[1:]).parse_args(sys.argv[1:])\n"
        "assert opening_of(args).glance({}).files['source']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, "view", str(clip)], check=True)


BUSY = """
import sys, time, threading
from scenewise.cli import view, main
from scenewise.viewer.opening import Opening

def work():
    import torch
    began, a = time.monotonic(), torch.randn(700, 700)
    print("busy", flush=True)
    while time.monotonic() - began < 10:  # one step of a model that takes ten seconds
        a = torch.linalg.qr(a @ a.T + torch.eye(700))[0]

view.opening_of = lambda args: Opening("busy", work, object())
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_while_the_model_is_at_work(number, code, tmp_path):
    pytest.importorskip("fastapi", reason="the extra `viewer` is not installed")
    (tmp_path / "busy.py").write_text(BUSY)
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(tmp_path / "busy.py"), "view", "clip.mp4", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[0].startswith("busy: http://")
        assert lines[1] == "busy\n"
        assert list(tmp_path.glob("scenewise-view-*"))
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == code  # not -6: the interpreter did not end under the thread
        assert time.monotonic() - began < 6  # 2 s on a machine that does nothing else; the work would take 10
        assert errors == "interrupted\n"
        assert not list(tmp_path.glob("scenewise-view-*"))
    finally:
        process.kill()
