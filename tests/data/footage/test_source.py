"""Footage: clips split by time, decoded once, read at random; and the first look that proposes settings."""

from __future__ import annotations

import pickle
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenewise.data import SOURCES
from scenewise.data.footage import cache
from scenewise.data.footage.source import FootageConfig, inspect
from scenewise.data.splits import SPLITS, time_block
from scenewise.errors import InputError


@pytest.fixture
def numbered(tmp_path):
    """A video of 200 frames whose grey value is the frame's number + 50."""
    frames = np.broadcast_to(np.arange(50, 250, dtype=np.uint8)[:, None, None, None], (200, 16, 24, 3))
    np.save(tmp_path / "numbered.npy", frames)
    return tmp_path / "numbered.npy"


@pytest.fixture
def read(tmp_path):
    def make(*files, split="train", **more):
        more = {"layout": "THWC", "size": [16, 24], "cache": str(tmp_path / "cache"), **more}
        return SOURCES.get("footage")(split, files=[str(file) for file in files], **more)

    return make


def numbers(source):
    return [(source.sample(i).frames[:, 0, 0, 0].astype(int) - 50).tolist() for i in range(len(source))]


def test_clips_are_the_frames_they_say(numbered, read):
    source = read(numbered, clip_length=5, frame_step=3, stride=7)
    for index in range(len(source)):
        sample = source.sample(index)
        assert sample.frames.shape == (5, 3, 16, 24)
        assert sample.ids is None
        assert (sample.frames[:, 1, 4, 4].astype(int) - 50).tolist() == sample.extras["numbers"].tolist()
        assert np.diff(sample.extras["numbers"]).tolist() == [3] * 4
    assert numbers(source)[1][0] == 7
    part = source.sample(2, 1, 3)
    assert np.array_equal(part.frames, source.sample(2).frames[1:4])
    assert np.array_equal(part.extras["numbers"], source.sample(2).extras["numbers"][1:4])
    with pytest.raises(IndexError):
        source.sample(len(source))


def test_splits_are_blocks_of_time_with_a_gap(numbered, read):
    blocks = {split: np.unique(numbers(read(numbered, split=split, clip_length=5, stride=1))) for split in SPLITS}
    assert blocks["train"].tolist() == list(range(160))
    assert blocks["validation"].tolist() == list(range(164, 180))  # 2 % of 200 frames left out
    assert blocks["test"].tolist() == list(range(184, 200))


@given(
    length=st.integers(1, 5000),
    shares=st.tuples(*[st.floats(0, 1)] * 3).filter(lambda s: sum(s) > 0),
    gap=st.integers(0, 60),
)
@settings(max_examples=100, deadline=None)
def test_blocks_never_meet(length, shares, gap):
    shares = tuple(share / sum(shares) for share in shares)
    blocks = [time_block(split, length, shares, gap) for split in SPLITS]
    assert blocks[0][0] == 0
    assert blocks[-1][1] == length
    for (_, before), (after, _) in pairwise(blocks):
        assert after - before == gap


def test_several_files_never_mix(numbered, read, tmp_path):
    np.save(tmp_path / "other.npy", np.full((60, 16, 24, 3), 255, np.uint8))
    source = read(numbered, tmp_path / "other.npy", numbered, clip_length=8)
    files = [source.sample(i).extras["file"] for i in range(len(source))]
    assert set(files) == {"numbered", "other"}
    assert files.count("numbered") > files.count("other")
    for clip, file in zip(numbers(source), files, strict=True):
        assert (min(clip) == 205) == (file == "other")


def test_decoded_once_and_again_when_the_file_changes(numbered, read, tmp_path, monkeypatch):
    told = []
    read(numbered, progress=lambda *state: told.append(state))
    assert told[-1] == ("numbered", 200, 200)
    (stored,) = (tmp_path / "cache").iterdir()
    assert np.array_equal(np.load(stored), np.load(numbered))
    told.clear()
    read(numbered, split="validation", clip_length=5, progress=lambda *state: told.append(state))
    assert not told, "settings that leave the frames alone must not decode again"
    read(numbered, crop=[0, 0, 16, 16], progress=lambda *state: told.append(state))
    assert told
    np.save(numbered, np.zeros((100, 16, 24, 3), np.uint8))
    assert not read(numbered).sample(0).frames.any()


def test_a_damaged_cache_is_made_anew(numbered, read, tmp_path):
    expected = read(numbered).sample(3).frames
    (stored,) = (tmp_path / "cache").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2])
    assert np.array_equal(read(numbered).sample(3).frames, expected)
    assert stored.read_bytes() == whole


def test_nothing_is_left_when_decoding_fails(numbered, read, tmp_path):
    frames = np.load(numbered).astype(np.float32) / 255
    frames[150] = np.nan
    np.save(tmp_path / "bad.npy", frames)
    with pytest.raises(InputError, match="150"):
        read(tmp_path / "bad.npy")
    assert not list((tmp_path / "cache").iterdir())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError):
        read(numbered, cache=str(tmp_path / "file"))


def test_folders_of_frames_crop_and_size(read, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 20, 30, 3), np.uint8)
    (tmp_path / "clips" / "a").mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "clips" / "a" / f"{number}.png")
    source = read(tmp_path / "clips", crop=[2, 4, 10, 12], size=[10, 12], clip_length=4, layout=None)
    assert np.array_equal(source.sample(0).frames, np.moveaxis(images[:4, 2:12, 4:16], -1, 1))


def test_fingerprint_follows_contents_not_the_place(numbered, read, tmp_path):
    one = read(numbered).fingerprint()
    assert read(numbered, cache=str(tmp_path / "elsewhere")).fingerprint() == one
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / "numbered.npy"
    copy.write_bytes(numbered.read_bytes())
    assert read(copy).fingerprint() == one
    assert read(numbered, clip_length=4).fingerprint() != one
    np.save(copy, np.zeros((200, 16, 24, 3), np.uint8))
    assert read(copy).fingerprint() != one


def test_pickled_without_the_frames(numbered, read):
    source = read(numbered)
    source.sample(0)
    sent = pickle.dumps(source)
    assert len(sent) < 20_000
    assert np.array_equal(pickle.loads(sent).sample(1).frames, source.sample(1).frames)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"clip_length": 30, "split": "test"}, r"test part \(10% of each file\).*30 frames.*200 frames"),
        ({"clip_length": 0}, "clip_length"),
        ({"shares": [0.8, 0.3, 0.1]}, "shares"),
        ({"layout": None}, "axes"),
        ({"crop": [0, 0, 99, 99]}, "outside"),
        ({"clip_lenght": 5}, "clip_length"),
    ],
)
def test_wrong_settings(numbered, read, wrong, says):
    with pytest.raises(InputError, match=says):
        read(numbered, **wrong)


def test_missing_files_and_mixed_sizes(numbered, read, tmp_path):
    with pytest.raises(InputError, match="no footage"):
        read()
    with pytest.raises(InputError, match=r"absent\.mp4"):
        read(tmp_path / "absent.mp4")
    np.save(tmp_path / "wide.npy", np.zeros((200, 16, 30, 3), np.uint8))
    with pytest.raises(InputError, match=r"wide\.npy"):
        read(numbered, tmp_path / "wide.npy", size=None)
    with pytest.raises(InputError, match="shares"):
        FootageConfig(shares=(1.0, 0.5, 0.0))


def test_long_footage_takes_little_memory(read, tmp_path):
    """100 MB of frames: decoding and one clip hold a small part of them."""
    path = tmp_path / "long.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (8000, 64, 64, 3)).flush()
    tracemalloc.start()
    source = read(path, size=[64, 64], clip_length=20)
    sample = source.sample(100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.frames.shape == (20, 3, 64, 64)
    assert peak < 8_000_000


def footage_of_balls(path, noise=4.0, frames=150):
    """Save a video of 4 balls on a grey, slightly noisy background, 128 x 128."""
    rng = np.random.default_rng(0)
    images = SOURCES.get("balls-colour")("test", frames=frames, size=128).batch([1])[0][0]
    noisy = np.moveaxis(images, 1, -1) // 2 + 60 + rng.normal(0, noise, (frames, 128, 128, 3))
    np.save(path, np.clip(noisy, 0, 255).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def balls(tmp_path_factory):
    """Footage of 150 frames, and what the first look says of it."""
    path = footage_of_balls(tmp_path_factory.mktemp("footage") / "balls.npy")
    return path, inspect([path], layout="THWC")


def test_inspect_finds_what_moves(balls):
    report = balls[1]
    (look,) = report.files
    assert look.stationary
    assert look.fixed
    assert (look.frames, look.size) == (150, (128, 128))
    assert report.objects == 4
    assert 16 < report.side < 32  # discs of 20 and 26 pixels, or two that touch
    assert 0.5 < report.speed < 5
    assert 3 < look.noise < 6
    assert report.settings["slots"] == 6
    assert report.settings["size"] == [32, 32]  # the smallest, 18 pixels wide, are then more than 4
    assert all(proposal.reason.endswith(".") for proposal in report.proposals)
    assert any("slots" in line for line in report.lines())


def test_proposed_settings_make_every_split(balls, tmp_path):
    short = footage_of_balls(tmp_path / "short.npy", frames=40)
    for path, report in ((short, inspect([short], layout="THWC")), balls):
        proposed = {name: value for name, value in report.settings.items() if name != "slots"}
        for split in SPLITS:
            made = SOURCES.get("footage")(
                split, files=[str(path)], layout="THWC", cache=str(tmp_path / "cache"), **proposed
            )
            assert len(made) >= 1
            assert made.facts.size == tuple(proposed["size"])


def test_inspect_nothing(tmp_path):
    with pytest.raises(InputError, match="no footage"):
        inspect([])
    with pytest.raises(InputError, match=r"absent\.mp4"):
        inspect([tmp_path / "absent.mp4"])


@pytest.mark.slow
def test_real_video(shared_data, tmp_path):
    """Bottles that a hand puts down and takes away, 1189 frames, a fixed camera."""
    path = shared_data / "video" / "intel_bottle-detection.mp4"
    report = inspect([path])
    assert report.files[0].stationary
    assert report.files[0].frames == 1189
    assert 3 <= report.objects <= 5  # three bottles, and hands
    proposed = report.settings
    slots = proposed.pop("slots")
    assert 5 <= slots <= 7
    assert proposed["size"] == [24, 40]
    source = SOURCES.get("footage")("train", files=[str(path)], cache=str(tmp_path), **proposed)
    assert len(source) > 20
    assert source.sample(5).frames.std() > 10
    (stored,) = tmp_path.iterdir()
    assert len(np.load(stored, mmap_mode="r")) == 1189
    assert cache.default_folder().name == "footage"
