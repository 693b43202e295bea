"""The first look: cameras that move, things that are small or pale, sizes and crops, and what speaks against it."""

import time

import numpy as np
import pytest

from scenewise.data.footage.camera import camera_motion
from scenewise.data.footage.glimpses import neighbours, spread
from scenewise.data.footage.inspect import inspect
from scenewise.data.footage.movers import movers, objects_by_hues
from scenewise.data.footage.proposals import FootageSize, propose
from scenewise.errors import InputError
from scenewise.media import read_video


def wall(height=120, width=400, seed=0):
    """A picture of tiles, 8 pixels each."""
    return (
        np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    )


def discs(count=5, contrast=30, radius=4.0, frames=60, size=(90, 160), noise=2.0, field=None):
    """Discs that move on circles of their own on a smooth field, uint8 (T, H, W, 3)."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[: size[0], : size[1]]
    empty = np.stack([100 + 0.3 * columns, 110 + 0.2 * rows, 120 + 0 * rows], -1) if field is None else field
    images = np.repeat(empty[None].astype(float), frames, 0)
    for k in range(count):
        for t in range(frames):
            at = (45 + 20 * np.sin(t / 9 + k), 16 + 32 * k + 9 * np.cos(t / 9 + k))
            images[t][(rows - at[0]) ** 2 + (columns - at[1]) ** 2 <= radius**2] += contrast
    return np.clip(images + rng.normal(0, noise, images.shape), 0, 255).round().astype(np.uint8)


def saved(frames, path):
    np.save(path, frames)
    return path


@pytest.mark.parametrize("speed", [0.1, 0.5, 2, 7])
def test_a_pan_slow_or_fast_is_a_moving_camera(speed):
    scene = wall()
    frames = np.stack([scene[10:100, int(t * speed) : int(t * speed) + 160] for t in range(30)])
    assert camera_motion([frames]).moves


def test_a_shaking_and_a_nearing_camera_move():
    from scipy import ndimage

    scene, rng = wall(), np.random.default_rng(0)
    shaken = np.stack([scene[10 + a : 100 + a, 10 + b : 170 + b] for a, b in rng.integers(-3, 4, (30, 2))])
    assert camera_motion([shaken]).moves
    zoomed = [ndimage.zoom(scene, (1 + 0.004 * t, 1 + 0.004 * t, 1), order=1)[15:105, 60:220] for t in range(30)]
    assert camera_motion([np.stack(zoomed)]).moves


@pytest.mark.parametrize("seed", range(3))
def test_things_that_move_before_a_still_camera_do_not_move_it(seed):
    scene = wall(seed=seed)[:90, :160]
    still = discs(radius=12, contrast=80, field=scene, noise=4)
    assert not camera_motion([still]).moves
    assert not camera_motion([still]).restless
    assert not camera_motion([discs(radius=14, contrast=80, field=0 * scene, noise=0)]).moves  # no texture but theirs


def test_a_change_of_light_is_no_motion():
    light = np.linspace(0.7, 1.2, 30)[:, None, None, None]
    assert not camera_motion([np.clip(wall()[:90, :160] * light, 0, 255).astype(np.uint8)]).moves


def test_water_is_restless():
    rng = np.random.default_rng(0)
    water = np.stack([wall(seed=int(seed))[:90, :160] for seed in rng.integers(0, 99999, 30)])
    motion = camera_motion([water])
    assert motion.restless
    assert not motion.moves


@pytest.mark.parametrize(
    ("contrast", "radius"), [(30, 4.0), (10, 4.0), (-12, 4.0), (40, 2.5)], ids=["plain", "pale", "dark", "small"]
)
def test_five_discs_on_a_smooth_field_are_five(tmp_path, contrast, radius):
    report = inspect([saved(discs(contrast=contrast, radius=radius), tmp_path / "discs.npy")], layout="THWC")
    assert report.objects == 5
    assert report.settings["slots"] == 7
    assert report.fixed
    true = radius * np.sqrt(np.pi)
    assert true * 0.6 < report.side < true * 1.6


def test_things_that_stand_still_most_of_the_time_are_counted(tmp_path):
    """In the median they would be background, and the holes they leave would be counted."""
    frames = discs(count=1)
    frames[:50, 20:40, 120:132] = (200, 60, 60)
    report = inspect([saved(frames, tmp_path / "stands.npy")], layout="THWC")
    assert report.objects == 2
    picture = report.files[0].picture
    assert abs(int(picture[30, 126, 0]) - (100 + 0.3 * 126)) < 8


def test_light_and_dark_halves_do_not_cancel_each_other():
    """A mean over the pixels of a grey car, with bright roof and dark windows, is that of the road."""
    road = np.full((90, 160, 3), 100, np.uint8)
    frames = np.repeat(road[None], 30, 0)
    for t in range(30):
        frames[t, 40:48, 10 + 3 * t : 30 + 3 * t] = 140
        frames[t, 48:56, 10 + 3 * t : 30 + 3 * t] = 60
    found = movers([frames], road / np.float32(255))
    assert len(found.contrasts) >= 28
    assert np.median(found.contrasts) == pytest.approx(np.sqrt(3) * 40 / 255, rel=0.2)


@pytest.mark.parametrize(("contrast", "things"), [(12, 1), (60, 2)], ids=["pale", "clear"])
def test_a_small_detail_that_is_not_in_the_picture_is_no_thing(contrast, things):
    """A dash on the road that was taken for a part of the cars before it: far paler and smaller than they are."""
    road = np.full((90, 160, 3), 100, np.uint8)
    frames = np.repeat(road[None], 30, 0)
    frames[:, 70:74, 60:70] += np.uint8(contrast)
    for t in range(30):
        frames[t, 30:50, 10 + 3 * t : 40 + 3 * t] = (160, 60, 60)
    found = movers([frames], road / np.float32(255))
    assert (found.counts == things).all()


def test_noise_and_flicker_are_no_things():
    frames = discs(count=0, noise=10)
    frames[17, 40:50, 40:50] = 255  # in one frame only
    found = movers([frames], discs(count=0, noise=0)[0] / np.float32(255))
    assert found.counts.sum() == 0
    assert 8 < 255 * found.noise < 12


def test_speed_is_in_pixels_of_the_source(tmp_path):
    frames = np.full((60, 180, 320, 3), 90, np.uint8)
    for t in range(60):
        frames[t, 80:100, 4 * t : 4 * t + 24] = 200
    report = inspect([saved(frames, tmp_path / "fast.npy")], layout="THWC")
    assert report.speed == pytest.approx(4, rel=0.1)
    assert report.side == pytest.approx(np.sqrt(20 * 24), rel=0.15)


def test_sizes_keep_the_aspect_and_show_the_smallest():
    def size_of(shape, smallest):
        return propose([FootageSize(shape, 1000, None)], 3, 2 * smallest, smallest, 1.0)[0].value

    assert size_of((360, 640), 70) == [24, 40]
    assert size_of((360, 640), 46) == [32, 56]
    assert size_of((640, 360), 70) == [40, 24]
    assert size_of((480, 480), 45) == [48, 48]
    for shape in ((360, 640), (1080, 1920), (240, 320), (500, 300)):
        for smallest in (10, 30, 60, 200):
            height, width = size_of(shape, smallest)
            assert 24 <= min(height, width) <= 48
            assert abs(np.log(height / width) - np.log(shape[0] / shape[1])) < 0.2
            wide = smallest * np.sqrt(height * width / (shape[0] * shape[1]))
            assert wide > 3.5 or min(height, width) == 48


def test_too_small_is_said():
    reason = propose([FootageSize((1080, 1920), 1000, None)], 3, 20.0, 10.0, 1.0)[0].reason
    assert "0.5 pixels wide all the same" in reason


def test_a_crop_only_where_most_of_the_frame_is_empty():
    part = propose([FootageSize((360, 640), 1000, (100, 400, 100, 200))], 3, 40.0, 30.0, 1.0)
    top, left, height, width = next(p.value for p in part if p.name == "crop")
    assert top <= 90
    assert left <= 380
    assert top + height >= 210
    assert left + width >= 620
    assert height * width < 0.5 * 360 * 640
    whole = propose([FootageSize((360, 640), 1000, (20, 20, 300, 500))], 3, 40.0, 30.0, 1.0)
    assert "crop" not in [p.name for p in whole]
    two = propose(
        [FootageSize((360, 640), 1000, (0, 0, 50, 50)), FootageSize((360, 640), 900, (300, 550, 50, 50))],
        3,
        40.0,
        30.0,
        1.0,
    )
    assert "crop" not in [p.name for p in two]


def test_a_moving_camera_is_said_at_once(tmp_path):
    scene, told = wall(width=1200), []
    frames = np.stack([scene[10:100, t : t + 160] for t in range(600)])
    path = saved(frames, tmp_path / "panned.npy")
    began = time.process_time()
    report = inspect([path], layout="THWC", notify=told.append)
    assert time.process_time() - began < 2
    assert not report.files[0].stationary
    assert not report.fixed
    assert "vidstab" in told[0]
    assert told[0] in report.warnings
    assert report.settings["size"] == [32, 56]


def test_what_cannot_be_used_is_refused_plainly(tmp_path):
    with pytest.raises(InputError, match=r"has 12 frames; .* at least 20"):
        inspect([saved(discs(frames=12), tmp_path / "short.npy")], layout="THWC")
    with pytest.raises(InputError, match="never changes"):
        inspect([saved(discs(count=0), tmp_path / "still.npy")], layout="THWC")


def test_texture_everywhere_is_warned_of(tmp_path):
    rng = np.random.default_rng(0)
    water = np.stack([wall(seed=int(seed))[:90, :160] for seed in rng.integers(0, 99999, 60)])
    report = inspect([saved(water, tmp_path / "water.npy")], layout="THWC")
    assert any("almost everywhere" in text and "crop" in text for text in report.warnings)


def test_a_place_never_seen_empty_is_told(tmp_path):
    """The picture cannot know what is behind what never goes away, but where a thing jitters in place it is seen."""
    frames = discs(count=2)
    for t in range(60):
        frames[t, 60:86, 60:100] = np.random.default_rng(t).integers(0, 256, (26, 40, 3))
    report = inspect([saved(frames, tmp_path / "never.npy")], layout="THWC")
    assert not report.fixed
    assert any("not sound" in text for text in report.warnings)


def test_glimpses_of_a_video(tmp_path):
    frames = np.broadcast_to(np.arange(250, dtype=np.uint8)[:, None, None, None], (250, 16, 24, 3))
    reader = read_video(saved(frames, tmp_path / "numbered.npy"), layout="THWC", start=10, every=2)
    one, two, three = neighbours(reader, 3, 5, (16, 24))
    assert one[:, 0, 0, 0].tolist() == [10, 12, 14, 16, 18]
    assert two[:, 0, 0, 0].tolist() == [124, 126, 128, 130, 132]
    assert three[:, 0, 0, 0].tolist() == [240, 242, 244, 246, 248]
    together = neighbours(reader, 3, 5, (16, 24), once=True)
    assert np.array_equal(np.stack(together), np.stack([one, two, three]))
    assert len(neighbours(reader, 60, 2, (16, 24))) == 1
    few = spread(reader, 20, (8, 12))
    assert few.shape[1:] == (8, 12, 3)
    assert 20 <= len(few) <= 40
    assert np.unique(np.diff(few[:, 0, 0, 0].astype(int))).size == 1


def _parts_seen(*rows):
    """Rows of `Movers.pieces`: area, pieces at the fine and at the coarse step of hue; all in frames of their own."""
    return np.array([[n, area, 1, fine, coarse] for n, (area, fine, coarse) in enumerate(rows)], float)


def test_hues_part_things_where_only_large_parts_are_of_several():
    lone, pair = [(100, 1, 1)] * 8, [(200, 2, 2)] * 3
    assert objects_by_hues(_parts_seen(*lone, *pair)) == (0.2, 2)
    assert objects_by_hues(_parts_seen(*lone)) == (0.0, 0)  # nothing touches
    assert objects_by_hues(_parts_seen(*lone, (100, 2, 1), *pair)) == (0.0, 0)  # one alone is of two hues
    assert objects_by_hues(_parts_seen(*lone, *[(200, 2, 1)] * 3)) == (0.0, 0)  # not clearly of two
    assert objects_by_hues(_parts_seen(*lone[:4], *pair)) == (0.0, 0)  # few things were seen alone
    assert objects_by_hues(np.zeros((0, 5))) == (0.0, 0)


def test_two_things_that_touch_are_of_two_hues_in_some_twenty_frames():
    """A red and a blue square side by side on grey, beside a green one, before a camera that is still."""
    rng, frames = np.random.default_rng(0), np.full((40, 60, 90, 3), 90.0)
    for t in range(40):
        for left, colour in ((5 + t, (200, 40, 40)), (17 + t, (40, 40, 200)), (70, (40, 200, 40))):
            frames[t, 20:32, left : left + 12] = colour
    images = np.clip(frames + rng.normal(0, 1, frames.shape), 0, 255).round().astype(np.uint8)
    pieces = movers([images], np.full((60, 90, 3), 90 / 255, np.float32)).pieces
    assert len(np.unique(pieces[:, 0])) == 20
    pair = pieces[:, 1] > 200
    assert (pieces[pair, 3:] == 2).all()
    assert (pieces[~pair, 3:] == 1).all()
