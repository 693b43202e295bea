"""What holds for every source of scenes in three dimensions."""

from __future__ import annotations

import numpy as np


def same(first, second):
    """Whether two samples are equal, extras and all."""
    assert first.extras.keys() == second.extras.keys()
    assert all(np.array_equal(first.extras[name], second.extras[name]) for name in first.extras)
    return np.array_equal(first.frames, second.frames) and np.array_equal(first.ids, second.ids)


def check_shapes(source, sample, frames=None):
    facts = source.facts
    shape = (frames or facts.frames, facts.channels, *facts.size)
    assert sample.frames.shape == shape
    assert sample.frames.dtype == np.uint8
    assert sample.ids.shape == (shape[0], *shape[2:])
    assert sample.ids.dtype == np.int64
    assert sample.ids.min() >= 0


def check_amodal(sample, first_id=1):
    """What is seen of an object lies inside what it would show alone, and `visibility` is the ratio."""
    amodal = sample.extras["amodal"]
    for row in range(amodal.shape[1]):
        seen = sample.ids == first_id + row
        assert not (seen & ~amodal[:, row]).any()
        share = seen.sum((1, 2)) / np.maximum(amodal[:, row].sum((1, 2)), 1)
        np.testing.assert_allclose(sample.extras["visibility"][:, row], share)


def check_centres(sample, first_id=1):
    """The centre of an object that nothing hides falls on the object; returns how many were checked."""
    checked = 0
    for time, row in zip(*np.nonzero(sample.extras["visibility"] == 1), strict=True):
        x, y, depth = sample.extras["pixel_coords"][time, row]
        height, width = sample.ids.shape[1:]
        # Nothing of it may be cut off by the border either.
        mask = sample.extras["amodal"][time, row]
        cut = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        if 0 <= x < width and 0 <= y < height and not cut:
            assert depth > 0
            assert sample.ids[time, int(y), int(x)] == first_id + row
            checked += 1
    return checked
