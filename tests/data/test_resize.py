import numpy as np
import pytest

from scenewise.data.resize import fit_ids, fit_images, nearest_pixels
from scenewise.media.reader import Selection


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
