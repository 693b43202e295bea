"""Readers of some frames, or of another part of the frame; frames and ids at another size."""

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video
from scenewise.media.reader import Selection, fit_ids, fit_images, nearest_pixels


@pytest.fixture
def numbered(tmp_path):
    """Forty frames whose grey value is five times their number; the left half is 20 brighter."""
    with VideoWriter(tmp_path / "numbered.mp4", (32, 48), 10) as writer:
        for t in range(40):
            image = np.full((32, 48, 3), 5 * t, np.uint8)
            image[:, :24] += 20
            writer.write(image)
    return tmp_path / "numbered.mp4"


def values(reader):
    return [round((float(frame.image[:, -4:].mean())) / 5) for frame in reader]


@pytest.mark.parametrize(
    ("reading", "first", "count", "expected"),
    [
        ({}, 0, 3, [0, 1, 2]),
        ({}, 30, 100, list(range(30, 40))),
        ({"start": 10, "every": 4}, 2, 3, [18, 22, 26]),
        ({"start": 10, "every": 4, "stop": 24}, 2, 3, [18, 22]),
    ],
)
def test_a_part_is_counted_among_the_frames_of_its_reader(numbered, reading, first, count, expected):
    whole = read_video(numbered, **reading)
    part = whole.part(first, count, (8, 12))
    assert values(part) == expected
    assert [frame.index for frame in part] == expected
    assert part.length_hint == len(expected)
    assert next(iter(part)).image.shape == (8, 12, 3)
    assert next(iter(whole)).image.shape == (32, 48, 3), "the reader itself is as it was"
    assert values(whole) == [frame.index for frame in whole]


def test_another_crop_of_the_source(numbered):
    whole = read_video(numbered, size=(16, 16))
    left = whole.cropped((0, 0, 32, 24))
    assert left.crop == (0, 0, 32, 24)
    assert left.size == (16, 16)
    assert whole.crop is None
    assert abs(float(next(iter(left)).image.mean()) - 20) < 3
    assert read_video(numbered).cropped((0, 0, 10, 20)).size == (10, 20)
    assert left.cropped((0, 24, 32, 24)).crop == (0, 24, 32, 24), "in pixels of the source, not of the crop"
    with pytest.raises(InputError, match="outside"):
        whole.cropped((0, 40, 32, 24))


def test_ids_shrink_to_the_pixel_in_the_middle():
    ids = np.arange(16).reshape(1, 4, 4)
    np.testing.assert_array_equal(nearest_pixels(ids, (2, 2))[0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(nearest_pixels(ids, (4, 4)), ids)
    assert nearest_pixels(ids, (8, 8)).shape == (1, 8, 8)
    np.testing.assert_array_equal(nearest_pixels(ids[0], (2, 2)), nearest_pixels(ids, (2, 2))[0])


def test_ids_are_cropped_before_they_are_scaled():
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    found = fit_ids(ids, Selection(size=(1, 2), crop=(1, 1, 3, 4)))  # rows 1 to 3, columns 1 to 4
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[12, 14]])


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_averaged_over_what_they_shrink_to(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 8, channels)).astype(np.uint8)
    found = fit_images(images, Selection(size=(2, 4), crop=(2, 0, 4, 8)), "area")
    means = images[:, 2:].reshape(2, 2, 2, 4, 2, channels).mean((2, 4))
    assert np.abs(found - means).max() <= 1
    assert fit_images(images, Selection()) is images
