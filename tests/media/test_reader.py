"""Readers of some frames, or of another part of the frame, made from a reader."""

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video


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
