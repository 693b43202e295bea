"""Cameras and streams: a sender of this machine stands for them."""

import contextlib
import pickle
import socket
import threading
import time

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import read_video
from scenewise.media.reading import is_live


@pytest.fixture
def sender(tmp_path):
    """Serve an MPEG transport stream of so many frames, one every so many seconds; returns its address."""
    import av

    path = tmp_path / "sent.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 1, 0
        for level in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 6 * level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                threading.Thread(target=send, args=(link,), daemon=True).start()

    def send(link):
        with contextlib.suppress(OSError), link:
            for start in range(0, len(content), len(content) // 20):
                link.sendall(content[start : start + len(content) // 20])
                time.sleep(0.02)

    threading.Thread(target=serve, daemon=True).start()
    yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_frames_come_as_they_are_sent(sender):
    reader = read_video(sender, size=(24, 32))
    assert reader.source_size == (48, 64)
    assert reader.length_hint is None
    frames = list(reader)
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert len(frames) + sum(int(text.split()[1]) for text in reader.problems if text.startswith("sent")) == 40
    for frame in frames:
        assert frame.image.shape == (24, 32, 3)
        assert abs(float(frame.image.mean()) - 6 * frame.index) < 6
        assert frame.time_s == pytest.approx(frame.index / 25, abs=0.001)


def test_who_is_slow_gets_the_newest_frame(sender):
    reader = read_video(sender)
    taken = []
    for frame in reader:
        taken.append(frame.index)
        time.sleep(0.15)
    assert 2 <= len(taken) < 20
    assert taken[-1] >= 35
    assert any("were left out" in problem for problem in reader.problems)


def test_which_part(sender):
    taken = [frame.index for frame in read_video(sender, start=4, every=3, stop=14)]
    assert set(taken) <= {4, 7, 10, 13}
    assert taken


def test_it_can_be_left_and_begun_again(sender):
    reader = pickle.loads(pickle.dumps(read_video(sender)))
    for _ in range(2):
        with reader:
            assert next(iter(reader)).index == 0


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:word@127.0.0.1:9/door", "rtsp:/127.0.0.1:9/door: cannot be opened"),
        ("camera:997", "camera:997: cannot be opened"),
        ("tcp://127.0.0.1:9", "tcp:/127.0.0.1:9: cannot be opened"),
    ],
)
def test_what_is_not_there(address, shown):
    with pytest.raises(InputError, match=shown) as error:
        read_video(address)
    assert "word" not in str(error.value)


def test_what_is_live():
    assert not is_live("camera.mp4")
    assert not is_live("https://host/clip.mp4")
    assert not is_live("/dev/video")
    assert is_live("srt://host:1")


def test_a_stream_is_taken_apart_frame_by_frame(sender):
    import scenewise as sw

    frames = sw.stream(sender, "provide-balls-colour", "cpu", refinements=1)
    first = next(frames)
    assert first.labels.shape == (64, 64)
    assert 0 <= first.index < 40  # the newest that has come since the model is there
    frames.close()


def test_the_command_reads_streams(sender, tmp_path):
    from scenewise.cli import main

    words = [
        "decompose",
        sender,
        "--out",
        str(tmp_path / "out"),
        "--formats",
        "slots",
        "--device",
        "cpu",
        "--stop",
        "6",
    ]
    assert main([*words, "--refinements", "1", "-q"]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name.startswith("127.0.0.1")
