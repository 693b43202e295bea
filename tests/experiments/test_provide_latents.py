"""Walks through latents: what is measured of drawings whose effects are known."""

from __future__ import annotations

import numpy as np
import pytest

from scenewise.experiments.provide_latents import EFFECTS, VALUES, effect, purity
from scenewise.explore.moment import Drawing


def drawing(columns, rows, side, colour, size=20):
    """Return pictures of a square slot 1 on slot 0, one for each place."""
    masks, appearance = np.zeros((len(columns), 2, size, size)), np.zeros((len(columns), 2, size, size, 3))
    for n, (x, y, s, c) in enumerate(zip(columns, rows, side, colour, strict=True)):
        masks[n, 1, y : y + s, x : x + s] = 1
        appearance[n, 1] = c
    masks[:, 0] = 1 - masks[:, 1]
    return Drawing(masks, appearance)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"columns": [2, 4, 8]}, [6 / 20, 0, 0, 0]),
        ({"rows": [1, 9, 3]}, [0, 8 / 20, 0, 0]),
        ({"colour": [0.1, 0.1, 0.6]}, [0, 0, 0, 0.5]),
    ],
)
def test_each_effect_alone(change, expected):
    still = {"columns": [5] * 3, "rows": [5] * 3, "side": [4] * 3, "colour": [0.3] * 3}
    assert effect(drawing(**{**still, **change}), 1) == pytest.approx(expected)


def test_area_is_a_share_of_the_frame():
    grown = effect(drawing([5] * 3, [5] * 3, [4, 4, 5], [0.3] * 3), 1)
    assert dict(zip(EFFECTS, grown, strict=True))["area"] == pytest.approx((25 - 16) / 400)


def test_a_slot_that_vanishes_is_not_measured_where_it_is_gone():
    gone = drawing([2, 2, 15], [5] * 3, [4, 4, 1], [0.3] * 3)
    assert effect(gone, 1)[0] == 0  # the last picture, elsewhere, shows less than half of it


def test_purity_is_one_where_each_number_does_one_thing():
    alone = np.diag([0.3, 0.2, 0.01, 0.5])[None]
    assert purity(alone) == pytest.approx(1)
    assert purity(np.ones((1, 3, 4))) == pytest.approx(1 / 4)
    both = np.array([[[1.0, 1.0, 0, 0], [0, 0, 1.0, 1.0]]])
    assert purity(both) == pytest.approx(1 / 2)


def test_numbers_that_do_nothing_do_not_count():
    effects = np.zeros((1, 3, 4))
    effects[0, 0, 0] = 0.4
    assert purity(effects) == pytest.approx(1)


def test_values_are_the_codes():
    assert np.allclose(VALUES, [-2.5, -2.5 + 5 / 6, -2.5 + 10 / 6, 0, 2.5 - 10 / 6, 2.5 - 5 / 6, 2.5])
