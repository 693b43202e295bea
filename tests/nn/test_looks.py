"""Where an object of known looks is in a part that holds more than it."""

import itertools
import math

import numpy as np
import pytest

from scenewise.nn.looks import ALIKE, Fit, likeness, places_by_looks

SIZE = (14, 18)
LOOK = np.array([[-0.3, 0.0, 0.2], [0.1, -0.2, 0.0], [0.3, 0.3, -0.1]])  # bands from the top


def _window(top: int, left: int, rows: int, columns: int) -> np.ndarray:
    centre = [2 * (left + (columns - 1) / 2) / (SIZE[1] - 1) - 1, 2 * (top + (rows - 1) / 2) / (SIZE[0] - 1) - 1]
    return np.array([*centre, math.log(columns / SIZE[1]), math.log(rows / SIZE[0])])


def _stamp(colours: np.ndarray, top: int, left: int, rows: int = 6, columns: int = 3) -> None:
    for n, band in enumerate(LOOK):
        start, end = (top + k * rows // 3 for k in (n, n + 1))
        colours[:, start:end, left : left + columns] = band[:, None, None]


def _score(colours: np.ndarray, pixels: np.ndarray, top: int, left: int, rows: int, columns: int) -> float:
    """The sum, pixel by pixel."""
    total = 0.0
    for row, column in itertools.product(range(rows), range(columns)):
        y, x = top + row, left + column
        if 0 <= y < SIZE[0] and 0 <= x < SIZE[1] and pixels[y, x]:
            band = LOOK[min(n for n in range(3) if row < (n + 1) * rows // 3)]
            total += max(-1.0, 1 - np.abs(colours[:, y, x] - band).max() / ALIKE)
    return total


@pytest.mark.parametrize("near", [True, False])
def test_a_fit_is_the_sum_over_the_best_box(near: bool) -> None:
    colours = np.random.default_rng(0).uniform(-0.4, 0.4, (3, *SIZE))
    _stamp(colours, 7, 12)
    pixels = np.ones(SIZE, bool)
    pixels[:, 16:] = False
    fit = Fit.of(colours, pixels, _window(2, 4, 6, 3), LOOK.ravel(), near)
    rows, columns = (range(-4, 9), range(1, 8)) if near else (range(-6, SIZE[0] + 1), range(-3, SIZE[1] + 1))
    scores = {(y, x): _score(colours, pixels, y, x, 6, 3) for y in rows for x in columns}
    assert fit.here == pytest.approx(scores[2, 4])
    assert fit.there == pytest.approx(max(scores.values()))
    top, left = max(scores, key=scores.__getitem__)
    np.testing.assert_allclose(fit.centre, _window(top, left, 6, 3)[:2], atol=1e-6)
    assert near or (top, left) == (7, 12)


def test_likeness_is_one_for_the_colour_and_minus_one_from_twice_the_distance_on() -> None:
    colours = np.zeros((3, 1, 3))
    colours[1, 0] = [0.0, ALIKE / 2, 3 * ALIKE]
    np.testing.assert_allclose(likeness(colours, np.zeros(9))[:, 0], [[1, 0.5, -1]] * 3, atol=1e-12)


def test_an_object_is_moved_only_where_its_looks_are_clearly_elsewhere() -> None:
    colours = np.full((3, *SIZE), -0.9)
    _stamp(colours, 5, 6)
    pixels = np.ones(SIZE, bool)
    windows = np.stack([_window(5, 6, 6, 3), _window(1, 5, 6, 3), _window(0, 15, 6, 3)])
    for window, place in zip(windows, (windows[0], windows[0], windows[2]), strict=True):  # the last is too far away
        moved = places_by_looks(colours, pixels, window[None], LOOK.ravel()[None], [18])
        np.testing.assert_allclose(moved[0], place, atol=1e-6)


def test_two_of_one_kind_are_not_found_in_one_place() -> None:
    colours = np.full((3, *SIZE), -0.9)
    _stamp(colours, 5, 6)
    windows = np.stack([_window(2, 5, 6, 3), _window(5, 6, 6, 3)])
    moved = places_by_looks(colours, np.ones(SIZE, bool), windows, np.stack([LOOK.ravel()] * 2), [18, 18])
    np.testing.assert_allclose(moved, windows, atol=1e-6)
