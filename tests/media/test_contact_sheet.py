"""Contact sheets: every picture at its place."""

import io

import numpy as np
from PIL import Image

from scenewise.media.contact_sheet import contact_sheet, png, tile


def test_pictures_stand_where_they_were_put_and_missing_ones_are_white():
    red, grey = np.zeros((3, 4, 3)), np.full((3, 4, 1), 0.5)
    red[..., 0] = 1
    sheet = contact_sheet([[red, None], [grey, red]])
    assert sheet.shape == (2 * 2 * 5, 2 * 2 * 6, 3)
    assert (sheet[:6, :8] == (255, 0, 0)).all()
    assert (sheet[:10, 8:] == 255).all()
    assert (sheet[10:16, :8] == 128).all()
    assert (sheet[10:16, 12:20] == (255, 0, 0)).all()


def test_values_out_of_range_are_clipped_and_a_fourth_channel_is_left_out():
    image = np.stack([np.full((2, 2), v) for v in (-1.0, 0.5, 2.0, 0.3)], -1)
    assert tile(image)[0, 0].tolist() == [0, 128, 255]


def test_png_keeps_every_value():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)
