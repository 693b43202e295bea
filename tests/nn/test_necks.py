"""Objects of one colour that touch are two: narrow between them, or too large for one."""

import numpy as np
import pytest

from scenewise.nn.necks import apart_at_necks, cut_to_size


def _drawn(*rows: str) -> np.ndarray:
    """Return labels (1, H, W): 1 where a hash stands, 0 elsewhere, in cells of three pixels a side."""
    cells = np.array([[mark == "#" for mark in row] for row in rows], np.int64)
    return cells.repeat(3, 0).repeat(3, 1)[None]


def _discs(*centres: tuple[float, float], radius: float = 6.0, side: int = 32) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    inside = np.zeros((side, side), bool)
    for row, column in centres:
        inside |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return inside[None].astype(np.int64)


def test_two_discs_that_overlap_a_little_are_two():
    labels = _discs((15, 9), (15, 20))
    apart = apart_at_necks(labels, 0.8, 10)
    assert ((apart > 0) == (labels > 0)).all()
    assert set(np.unique(apart)) == {0, 1, 2}
    assert len(np.unique(apart[0, 12:19, 5:13])) == 1
    assert len(np.unique(apart[0, 12:19, 17:25])) == 1
    assert apart[0, 15, 9] != apart[0, 15, 20]


def test_three_discs_in_a_row_are_three():
    assert apart_at_necks(_discs((8, 6), (15, 15), (22, 24)), 0.8, 10).max() == 3


@pytest.mark.parametrize("labels", [_discs((15, 15)), _drawn(".....", ".###.", ".###."), _drawn("###..", "###.."),
                                    _drawn("#....", "#....", "###..")])  # fmt: skip
def test_a_body_that_is_narrow_nowhere_is_one(labels):
    apart = apart_at_necks(labels, 0.8, 4)
    np.testing.assert_array_equal(apart, labels)


def test_a_neck_as_wide_as_the_share_says_parts_and_a_wider_one_does_not():
    labels = np.zeros((1, 14, 30), np.int64)
    labels[0, 2:12, 2:12] = labels[0, 2:12, 18:28] = 1  # 10 wide: the middle is 5 from outside
    labels[0, 5:9, 12:18] = 1  # 4 wide: the middle is 2 from outside
    assert apart_at_necks(labels, 2 / 5, 10).max() == 2
    assert apart_at_necks(labels, 2 / 5 - 0.01, 10).max() == 1


def test_a_small_knob_is_no_object():
    labels = np.zeros((1, 20, 30), np.int64)
    labels[0, 2:18, 2:18], labels[0, 8:12, 20:24], labels[0, 9:11, 18:20] = 1, 1, 1  # 16 pixels on a stalk
    assert apart_at_necks(labels, 0.8, 40).max() == 1
    assert apart_at_necks(labels, 0.8, 10).max() == 2


def test_parts_of_every_frame_are_counted_from_one():
    labels = np.concatenate(
        [
            _discs((15, 9), (15, 20)),
            np.zeros((1, 32, 32), np.int64),
            3 * _discs((9, 9)) + 7 * _discs((25, 25), radius=3),
        ]
    )
    apart = apart_at_necks(labels, 0.8, 10)
    assert apart.max((1, 2)).tolist() == [2, 0, 2]
    assert len(np.unique(apart[2][labels[2] == 3])) == 1


def _sets(labels: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """Return the parts of one frame (1, H, W) as sets of pixels."""
    return {frozenset(map(tuple, np.argwhere(labels[0] == n).tolist())) for n in np.unique(labels[labels > 0])}


@pytest.mark.parametrize(
    "rows",
    [
        ("aaaa", "b...", "bbb."),
        ("aa..", "aabb", "..bb"),
        ("aaaabbbbcccc",),  # three, of which one is in the middle
    ],
)
def test_pieces_of_four_blocks_are_taken_apart_by_their_area(rows: tuple[str, ...]) -> None:
    marks = np.array([list(row) for row in rows])
    numbers = np.array([[".abc".index(mark) for mark in row] for row in marks]).repeat(3, 0).repeat(3, 1)[None]
    joined = (numbers > 0).astype(np.int64)
    assert _sets(cut_to_size(joined, most=40, least=32)) == _sets(numbers)  # a piece has 36 pixels


def test_squares_that_touch_at_an_angle_are_cut_across():
    rows, columns = np.mgrid[:40, :40]
    one = abs(rows - 13) + abs(columns - 13) <= 9
    other = abs(rows - 23) + abs(columns - 23) <= 9  # beside it, along a side at 45 degrees
    assert not (one & other).any()
    apart = cut_to_size((one | other)[None].astype(np.int64), most=200, least=150)  # each has 181
    assert _sets(apart) == {frozenset(map(tuple, np.argwhere(mask).tolist())) for mask in (one, other)}


def test_what_is_small_enough_or_has_no_lawful_cut_stays_whole():
    labels = _discs((15, 15))
    area = int(labels.sum())
    np.testing.assert_array_equal(cut_to_size(labels, area, 10), labels)
    np.testing.assert_array_equal(cut_to_size(labels, area - 1, area / 2 + 1), labels)
    assert cut_to_size(labels, area - 1, 10).max() == 2


def test_cuts_count_the_parts_of_every_frame_from_one():
    labels = np.concatenate([_discs((9, 9)) + 4 * _discs((25, 25), radius=3), np.zeros((1, 32, 32), np.int64)])
    assert cut_to_size(labels, 64, 20).max((1, 2)).tolist() == [3, 0]
