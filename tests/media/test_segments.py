"""Videos in segments: the same frames give the same bytes, in one go or in two, again and again."""

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media.writing import SegmentedVideoWriter

SIZE = (20, 96)


@pytest.fixture(scope="module")
def frames():
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (*SIZE, 3), np.uint8) for _ in range(22)]


def written(folder, frames, begun=None):
    writer = SegmentedVideoWriter(folder / "clip.mp4", SIZE, 10.0, folder / "store", 4, begun)
    for frame in frames:
        writer.write(frame)
    writer.finish()
    writer.close()
    return (folder / "clip.mp4").read_bytes()


def test_the_same_frames_give_the_same_bytes(frames, tmp_path):
    """H.264 of noise in small frames: of forty videos ten differed where x264 looks ahead."""
    assert len({written(tmp_path, frames) for _ in range(40)}) == 1


def test_it_goes_on_from_the_end_of_a_segment(frames, tmp_path):
    whole = written(tmp_path, frames)
    writer = SegmentedVideoWriter(tmp_path / "clip.mp4", SIZE, 10.0, tmp_path / "store", 4)
    for frame in frames[:8]:
        writer.write(frame)
    begun = writer.state()
    writer.write(frames[8])  # is lost with the process
    with pytest.raises(RuntimeError, match="frame 9 lies within a segment"):
        writer.state()
    writer.close()
    assert written(tmp_path, frames[8:], begun) == whole


def test_a_store_that_lost_something_is_refused(frames, tmp_path):
    written(tmp_path, frames)
    begun = {"frames": 4, "bytes": (tmp_path / "store").stat().st_size + 1}
    with pytest.raises(InputError, match="to be gone on from; found fewer"):
        written(tmp_path, frames, begun)
