import errno
import signal
import subprocess
import sys

import av
import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video

from .footage import images, ramp


def write(path, frames, rate=10):
    with VideoWriter(path, frames.shape[1:3], rate) as writer:
        _write_all(writer, frames)


def _write_all(writer, frames):
    for frame in frames:
        writer.write(frame)


def test_frames_and_rate_survive(tmp_path):
    frames = ramp(40, 64, 96)
    write(tmp_path / "out.mp4", frames, 12.5)
    reader = read_video(tmp_path / "out.mp4")
    assert np.abs(images(reader).astype(int) - frames).max() <= 4
    assert (reader.frame_rate, reader.length_hint) == (12.5, 40)
    assert [f.time_s for f in reader] == pytest.approx([i / 12.5 for i in range(40)], abs=1e-3)


def test_browsers_can_play_it(tmp_path):
    write(tmp_path / "out.mp4", ramp(5))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.streams.video[0].codec_context.name == "h264"
    content = (tmp_path / "out.mp4").read_bytes()
    assert b"moof" not in content[: content.rfind(b"moov")].split(b"mdat")[0], "a closed file is a plain mp4"


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 64), (65, 192)])
def test_odd_sides_are_padded_by_one(tmp_path, size):
    frames = ramp(4, *size)
    write(tmp_path / "out.mp4", frames)
    read = images(read_video(tmp_path / "out.mp4"))
    assert read.shape[1:3] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert np.abs(read[:, : size[0], : size[1]].astype(int) - frames).max() <= 4


@pytest.mark.parametrize("rate", [29.97, 179 / 6, 1, 60, 0.5])
def test_rates_are_kept(tmp_path, rate):
    write(tmp_path / "out.mp4", ramp(6), rate)
    assert read_video(tmp_path / "out.mp4").frame_rate == pytest.approx(rate, rel=1e-3)


def test_without_h264_it_writes_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    write(tmp_path / "out.mp4", ramp(6))
    monkeypatch.undo()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(images(read_video(tmp_path / "out.mp4"))) == 6


def test_an_older_library_gets_a_fragmented_file(tmp_path, monkeypatch):
    monkeypatch.setitem(av.library_versions, "libavformat", (61, 6, 100))
    write(tmp_path / "out.mp4", ramp(30))
    assert len(images(read_video(tmp_path / "out.mp4"))) == 30
    assert b"moof" in (tmp_path / "out.mp4").read_bytes()


def test_ctrl_c_leaves_a_complete_file(tmp_path):
    frames = ramp(30)

    def interrupted():
        yield from frames[:17]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", (16, 16), 10) as writer:
        _write_all(writer, interrupted())
    reader = read_video(tmp_path / "out.mp4")
    assert np.abs(images(reader).astype(int) - frames[:17]).max() <= 4
    assert reader.problems == []


_KILLED = """
import os, signal, sys
import numpy as np
from scenewise.media import VideoWriter
writer = VideoWriter(sys.argv[1], (64, 64), 10)
for level in range(200):
    writer.write(np.full((64, 64, 3), level, np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_file_that_plays(tmp_path):
    done = subprocess.run([sys.executable, "-c", _KILLED, tmp_path / "out.mp4"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sum(1 for _ in read_video(tmp_path / "out.mp4")) >= 120


_LIMITED = """
import resource, signal, sys
import numpy as np
from scenewise.errors import InputError
from scenewise.media import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))
noise = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], (64, 64), 10) as writer:
        for _ in range(400):
            writer.write(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on file sizes")
def test_a_disk_that_really_fills_up_is_an_input_error(tmp_path):
    command = [sys.executable, "-c", _LIMITED, tmp_path / "out.mp4"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == f"{tmp_path}: no space left for out.mp4. Free some space or choose another folder."
    assert sum(1 for _ in read_video(tmp_path / "out.mp4")) > 40


class Full:
    """A container on a disk that is full."""

    def __init__(self, container):
        self._container = container

    def mux(self, _packet):
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name):
        return getattr(self._container, name)


def test_a_full_disk_names_the_folder_and_the_remedy(tmp_path, monkeypatch):
    opening = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: Full(opening(*a, **k)))
    writer = VideoWriter(tmp_path / "out.mp4", (16, 16), 10)
    with pytest.raises(InputError, match=r"no space left for out\.mp4") as caught:
        _write_all(writer, ramp(100))
    assert (caught.value.subject, caught.value.remedy) == (
        str(tmp_path),
        "Free some space or choose another folder.",
    )
    with pytest.raises(InputError, match="no space left"):
        writer.close()
    writer.close()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="none: expected a folder; found none"):
        VideoWriter(tmp_path / "none" / "out.mp4", (16, 16), 10)


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3), np.uint8), np.zeros((16, 16, 3)), np.zeros((16, 16), np.uint8)])
def test_frames_of_another_kind_are_refused(tmp_path, image):
    with VideoWriter(tmp_path / "out.mp4", (16, 16), 10) as writer:
        writer.write(ramp(1)[0])
        with pytest.raises(InputError, match=r"expected frames of uint8 \(16, 16, 3\); found"):
            writer.write(image)
    assert len(images(read_video(tmp_path / "out.mp4"))) == 1


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_refused_before_a_file_is_made(tmp_path, rate):
    with pytest.raises(InputError, match="frame_rate"):
        VideoWriter(tmp_path / "out.mp4", (16, 16), rate)
    assert not list(tmp_path.iterdir())


def test_a_closed_writer_takes_no_more(tmp_path):
    writer = VideoWriter(tmp_path / "out.mp4", (16, 16), 10)
    writer.write(ramp(1)[0])
    writer.close()
    writer.close()
    with pytest.raises(InputError, match="is closed"):
        writer.write(ramp(1)[0])


def test_a_video_without_frames_leaves_no_file(tmp_path):
    VideoWriter(tmp_path / "out.mp4", (16, 16), 10).close()
    assert not list(tmp_path.iterdir())
