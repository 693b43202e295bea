"""Masks in the pixels of a larger or smaller picture, against painting them there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from scenewise.media import encode_rle
from scenewise.media.annotations import Placement

sides = st.integers(1, 9)


@st.composite
def placements(draw):
    """A placement, and a mask of its size."""
    size = draw(sides), draw(sides)
    crop = draw(st.integers(0, 3)), draw(st.integers(0, 3)), draw(st.integers(1, 17)), draw(st.integers(1, 17))
    picture = crop[0] + crop[2] + draw(st.integers(0, 3)), crop[1] + crop[3] + draw(st.integers(0, 3))
    mask = np.random.default_rng(draw(st.integers(0, 999))).random(size) < draw(st.sampled_from([0.1, 0.5, 0.9, 1.1]))
    return Placement(size, crop, picture), mask


def painted(place: Placement, mask: np.ndarray) -> np.ndarray:
    """Pixel by pixel: the mask's pixel in which the middle of the picture's pixel lies."""
    top, left, height, width = place.crop
    picture = np.zeros(place.picture, bool)
    for row in range(height):
        for column in range(width):
            small = int((row + 0.5) * place.size[0] / height), int((column + 0.5) * place.size[1] / width)
            picture[top + row, left + column] = mask[small]
    return picture


@given(placements())
def test_it_is_the_mask_painted_pixel_by_pixel(case):
    place, mask = case
    expected = painted(place, mask)
    np.testing.assert_array_equal(place.paint(mask), expected)
    placed = place.encode(mask)
    if not expected.any():
        assert placed is None
        return
    assert placed.rle == encode_rle(expected)
    assert placed.area == expected.sum()
    encoded = coco.encode(np.asfortranarray(expected.astype(np.uint8)))
    assert list(placed.box) == coco.toBbox(encoded).tolist()


@pytest.mark.parametrize("size", [(24, 24), (100, 180)])
def test_a_large_picture_costs_no_painting(size):
    rows, columns = np.ogrid[: size[0], : size[1]]
    disc = (rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2 < (size[0] / 4) ** 2
    place = Placement(size, (0, 240, 1080, 1440), (1080, 1920))
    placed = place.encode(disc)
    np.testing.assert_array_equal(coco.decode(placed.rle).astype(bool), place.paint(disc))
