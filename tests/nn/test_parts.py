"""First guesses: connected parts of what the background does not explain, and whose object they are."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from scenewise.nn.frame_parts import Limits
from scenewise.nn.habits import Habits
from scenewise.nn.masks import adopted, grown, main_pieces, without_strays
from scenewise.nn.parts import Guess, PartMemory, guess

LIMITS = Limits(0.08, 0.12, 4.0)
SIZE = (20, 30)


def _difference(
    *boxes: tuple[int, int, int, int], colour: tuple[float, float, float] = (0.0, -0.3, 0.0)
) -> torch.Tensor:
    """One frame with boxes (top, left, height, width) of a colour; all else is the background."""
    difference = torch.zeros(1, 3, *SIZE)
    for top, left, height, width in boxes:
        difference[0, :, top : top + height, left : left + width] = torch.tensor(colour).view(3, 1, 1)
    return difference


def _owner(**boxes: tuple[int, int, int, int]) -> torch.Tensor:
    owner = torch.zeros(1, *SIZE, dtype=torch.int64)
    for name, (top, left, height, width) in boxes.items():
        owner[0, top : top + height, left : left + width] = int(name[1:])
    return owner


def _guess(
    difference: torch.Tensor,
    owner: torch.Tensor | None = None,
    on=(1, 0, 0, 0),
    limits=LIMITS,
    waits=None,
    last=None,
    **seen,
) -> Guess:
    owner = _owner() if owner is None else owner
    windows = torch.zeros(1, 4, 4)
    for slot, box in (last or {}).items():
        windows[0, slot] = torch.tensor(_box(*box))
    waiting = torch.zeros(1, 4, dtype=torch.bool)
    waiting[0, waits or []] = True
    colours = seen.get("colours", torch.tensor([0.0, -0.3, 0.0]).expand(1, 4, 3))
    together = torch.full((1, 4, 4), seen.get("together", 0))
    extents = torch.tensor([seen.get("extents", (0.0,) * 4)])
    zeros = torch.zeros(1, 4)
    habits = seen.get("habits") or Habits.unknown(zeros, 3)
    speeds = torch.zeros(1, 4, 2)
    memory = PartMemory(owner, torch.tensor([on]).float(), waiting, windows, colours, together, extents, speeds, habits)
    return guess(difference.norm(dim=1), difference, memory, limits)


def _box(top: int, left: int, height: int, width: int) -> list[float]:
    x, y = (2 * left + width - 1) / (SIZE[1] - 1) - 1, (2 * top + height - 1) / (SIZE[0] - 1) - 1
    return [x, y, math.log(width / SIZE[1]), math.log(height / SIZE[0])]


def test_new_parts_go_to_free_slots_the_largest_first() -> None:
    difference = _difference((2, 20, 4, 6), colour=(0.4, 0.0, 0.0)) + _difference((8, 3, 10, 8))
    difference[0, :, 1, 1] = 0.5  # a speck
    difference[0, :, 19, 14:30] = 0.5  # a thread
    found = _guess(difference)
    assert found.births.tolist() == [[False, True, True, False]]
    assert not found.moves.any()
    assert found.windows[0, 1].tolist() == pytest.approx(_box(8, 3, 10, 8), abs=1e-5)
    assert found.windows[0, 2].tolist() == pytest.approx(_box(2, 20, 4, 6), abs=1e-5)
    torch.testing.assert_close(found.colours[0, 2], torch.tensor([0.4, 0.0, 0.0]))
    assert _guess(difference, on=(1, 1, 1, 0)).births.tolist() == [[False, False, False, True]]


def test_pale_and_small_parts_are_left_out() -> None:
    assert not _guess(_difference((8, 3, 10, 8)) / 3).births.any()  # 0.1: strange, but nowhere clearly
    assert not _guess(_difference((8, 3, 5, 5)), limits=Limits(0.08, 0.12, 30.0)).births.any()


def test_touching_parts_of_two_colours_are_one_unless_colours_part_them() -> None:
    two = _difference((5, 3, 8, 6), colour=(0.4, 0.0, 0.0)) + _difference((5, 9, 8, 7), colour=(0.0, 0.4, 0.0))
    shaded = two * torch.linspace(0.8, 1.0, SIZE[1])  # each of many colours, all near the next pixel's
    assert int(_guess(shaded).births.sum()) == 1
    apart = _guess(shaded, limits=Limits(0.08, 0.12, 4.0, step=0.1))
    assert apart.births.tolist() == [[False, True, True, False]]
    assert apart.windows[0, 1].tolist() == pytest.approx(_box(5, 9, 8, 7), abs=1e-5)
    assert apart.windows[0, 2].tolist() == pytest.approx(_box(5, 3, 8, 6), abs=1e-5)


def test_colours_part_every_frame_of_a_batch_by_itself() -> None:
    frames = torch.cat([_difference((5, 3, 8, 6)), torch.zeros(1, 3, *SIZE), _difference((2, 2, 6, 6), (10, 20, 6, 6))])
    memory = PartMemory(
        torch.zeros(3, *SIZE, dtype=torch.int64),
        torch.tensor([[1.0, 0, 0, 0]]).expand(3, 4),
        torch.zeros(3, 4, dtype=torch.bool),
        torch.zeros(3, 4, 4),
        torch.zeros(3, 4, 3),
        torch.zeros(3, 4, 4, dtype=torch.int64),
        torch.zeros(3, 4),
        torch.zeros(3, 4, 2),
        Habits.unknown(torch.zeros(3, 4), 3),
    )
    one, other = (guess(frames.norm(dim=1), frames, memory, Limits(0.08, 0.12, 4.0, step)) for step in (0.0, 0.1))
    assert one.births.sum(1).tolist() == other.births.sum(1).tolist() == [1, 0, 2]
    assert torch.equal(one.windows, other.windows)


def test_a_slot_that_returns_may_hold_one_object_with_another() -> None:
    none, parts = torch.zeros(1, 3, dtype=torch.bool), torch.tensor([[0, 7, 7]])
    marks = dict.fromkeys(("moves", "births", "heirs", "ends"), none)
    fields = {"windows": torch.zeros(1, 3, 4), "colours": torch.zeros(1, 3, 3), "parts": parts}
    fields |= {"extents": torch.zeros(1, 3), "entering": none, "company": none, "sources": torch.arange(3)[None]}
    fields["habits"] = Habits.unknown(torch.zeros(1, 3), 3)
    apart = torch.full((1, 3, 3), -1)
    assert int(Guess(returns=none, **marks, **fields).joined(apart)[0, 1, 2]) == -1, "seen in two parts once"
    returns = torch.tensor([[False, False, True]])
    assert int(Guess(returns=returns, **marks, **fields).joined(apart)[0, 1, 2]) == 1, "what it was before is over"


def test_a_part_of_the_slot_s_size_is_its_object_wherever_it_moved() -> None:
    found = _guess(_difference((8, 6, 10, 8)), _owner(_2=(8, 3, 10, 8)), (1, 0, 1, 0))
    assert found.moves.tolist() == [[False, False, True, False]]
    assert not found.births.any()
    assert found.windows[0, 2].tolist() == pytest.approx(_box(8, 6, 10, 8), abs=1e-5)


def test_an_object_that_jumped_is_followed_and_another_colour_is_another_object() -> None:
    owner, last = _owner(_2=(8, 3, 7, 8)), {2: (8, 3, 7, 8)}
    assert _guess(_difference((8, 13, 7, 8)), owner, (1, 0, 1, 0), last=last).moves[0, 2]
    other = _guess(_difference((8, 13, 7, 8), colour=(0.5, 0.5, 0.0)), owner, (1, 0, 1, 0), last=last)
    assert other.births.tolist() == [[False, True, False, False]]
    assert not other.moves.any()


def test_an_object_that_comes_back_finds_its_slot_and_another_takes_one_that_waits_last() -> None:
    back = _guess(_difference((8, 5, 7, 8)), waits=[3], last={3: (8, 3, 7, 8)})
    assert back.returns.tolist() == [[False, False, False, True]]
    assert not back.births.any()
    far = _guess(_difference((8, 22, 7, 8)), waits=[1], last={1: (8, 3, 7, 8)})
    assert far.births.tolist() == [[False, False, True, False]]
    full = _guess(_difference((8, 22, 7, 8)), on=(1, 0, 1, 1), waits=[1], last={1: (8, 3, 7, 8)})
    assert full.births.tolist() == [[False, True, False, False]]


def test_windows_stay_where_slots_share_a_part_and_a_newcomer_that_touches_gets_one() -> None:
    shared = _guess(_difference((8, 3, 8, 16)), _owner(_1=(8, 3, 8, 8), _2=(8, 11, 8, 8)), (1, 1, 1, 0))
    assert not shared.moves.any()
    assert not shared.births.any()
    touching = _guess(_difference((8, 3, 8, 8), (2, 11, 14, 12)), _owner(_1=(8, 3, 8, 8)), (1, 1, 0, 0))
    assert not touching.moves.any()
    assert touching.births.tolist() == [[False, False, True, False]]
    assert touching.windows[0, 2].tolist() == pytest.approx(_box(2, 11, 14, 12), abs=1e-5)


def test_slots_of_one_colour_that_were_never_apart_hold_one_object() -> None:
    frame, owner, on = _difference((8, 3, 8, 16)), _owner(_1=(8, 3, 8, 10), _2=(8, 13, 8, 6)), (1, 1, 1, 0)
    joined = _guess(frame, owner, on, together=2)
    assert joined.ends.tolist() == [[False, False, True, False]]
    assert joined.heirs.tolist() == [[False, True, False, False]]
    assert joined.windows[0, 1].tolist() == pytest.approx(_box(8, 3, 8, 16), abs=1e-5)
    colours = torch.tensor([[0.0] * 3, [0.0, -0.3, 0.0], [0.3, 0.0, 0.0], [0.0] * 3]).unsqueeze(0)
    for seen in ({"together": 1}, {"together": -1}, {"together": 9, "colours": colours}):
        assert not _guess(frame, owner, on, **seen).ends.any(), seen
    assert joined.parts[0, :3].tolist() == [0, 1, 0]  # slots that end are in no part


def test_what_comes_to_an_object_at_rest_is_another_if_it_has_another_colour() -> None:
    rest = {"owner": _owner(_1=(8, 3, 8, 8)), "on": (1, 1, 0, 0)}
    for colour, births in (((0.4, 0.0, 0.0), [[False, False, True, False]]), ((0.0, -0.3, 0.0), [[False] * 4])):
        frame = _difference((8, 3, 8, 8)) + _difference((8, 11, 8, 7), colour=colour)
        look = _guess(frame, **rest)
        assert look.births.tolist() == births
        assert bool(look.moves[0, 1]) is not any(births[0])
    coming_in = _difference((8, 0, 8, 6)) + _difference((8, 6, 8, 5), colour=(0.4, 0.0, 0.0))
    look = _guess(coming_in, _owner(_1=(8, 0, 8, 6)), (1, 1, 0, 0))
    assert look.moves[0, 1], "more of an object at the border has come in"
    assert not look.births.any()


def test_what_arrives_with_one_more_of_a_kind_is_another_object() -> None:
    alone, both = (8, 20, 8, 6), _difference((8, 3, 8, 6)) + _difference((2, 3, 6, 12), colour=(0.4, 0.0, 0.0))
    look = _guess(both + _difference(alone))
    assert look.births.tolist() == [[False, True, True, True]]
    expected = sorted([_box(8, 3, 8, 6), _box(*alone), _box(2, 3, 5, 12)])  # a line of pixels is left between the two
    found = sorted(look.windows[0, 1:].tolist())
    assert torch.tensor(found).sub(torch.tensor(expected)).abs().max() < 0.2  # a pixel more or less
    assert _guess(both).births.tolist() == [[False, True, False, False]], "of no kind that is known: one thing so far"
    other_size = _guess(both + _difference((8, 20, 3, 3)))
    assert other_size.births.tolist() == [[False, True, True, False]]


def test_a_slot_keeps_the_piece_that_is_of_its_object() -> None:
    frame = _difference((8, 3, 8, 6), (8, 20, 8, 6)) + _difference((2, 3, 6, 5), colour=(0.4, 0.0, 0.0))
    look = _guess(
        frame, _owner(_1=(8, 3, 8, 6), _2=(8, 20, 8, 6)), (1, 1, 1, 0), last={1: (8, 3, 8, 6), 2: (8, 20, 8, 6)}
    )
    assert look.births.tolist() == [[False, False, False, True]]
    assert look.windows[0, 3].tolist() == pytest.approx(_box(2, 3, 4, 5), abs=0.15)


def test_detail_beside_an_object_is_its_own() -> None:
    owner = torch.zeros(2, 8, 12, dtype=torch.int64)
    owner[0, 2:6, 2:4], owner[0, 2:6, 8:10] = 1, 3
    clear = torch.zeros(2, 8, 12, dtype=torch.bool)
    clear[0, 3, 4:8] = clear[1, 3, 3] = True
    after = adopted(owner, clear, 1.0)
    assert after[0, 3].tolist() == [0, 0, 1, 1, 1, 0, 0, 3, 3, 3, 0, 0]
    assert torch.equal(adopted(owner, clear, 2.0)[0, 3, 4:8], torch.tensor([1, 1, 3, 3]))
    assert not after[1].any(), "no object is near"
    owner[0, 3], after[0, 3] = 0, 0
    assert torch.equal(owner, after)


def test_of_every_mask_the_largest_piece_stays_with_what_is_near_it() -> None:
    masks = torch.zeros(2, 2, 16, 20, dtype=torch.bool)
    masks[0, 0, 2:8, 2:8] = masks[0, 0, 10:12, 3:6] = masks[0, 0, 3:5, 14:18] = True  # a gap of two, and one of six
    masks[1, 1, 1:3, 1:3] = True
    pieces = main_pieces(masks)
    expected = masks.clone()
    expected[0, 0, 3:5, 14:18] = False
    assert torch.equal(pieces, expected)
    assert not main_pieces(torch.zeros_like(masks)).any()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_masks_grow_by_their_four_neighbours(steps: int) -> None:
    masks = np.random.default_rng(0).random((3, 9, 12)) > 0.9
    masks[0, 0, 0] = masks[1, -1, -1] = True
    cross = ndimage.generate_binary_structure(2, 1)
    expected = np.stack([ndimage.binary_dilation(mask, cross, iterations=steps) for mask in masks])
    np.testing.assert_array_equal(grown(masks, steps), expected)
    np.testing.assert_array_equal(grown(masks[0], steps), expected[0])


def test_specks_and_threads_are_no_parts_and_what_stands_beside_solid_pixels_is() -> None:
    difference = _difference((3, 4, 3, 3))  # solid in the middle and along its sides
    difference[0, 1, 4, 7:20] = -0.3  # a thread: five of the nine pixels about column 7 differ, three about column 8
    found = _guess(difference)
    assert found.births.tolist() == [[False, True, False, False]]
    assert found.windows[0, 1].tolist() == pytest.approx(_box(3, 4, 3, 5), abs=1e-5)


def test_small_pieces_far_from_an_object_are_none_of_it() -> None:
    owner = _owner(s1=(5, 3, 6, 6), s2=(12, 20, 4, 4))
    owner[0, 18, 28] = 1  # on the other side of the frame
    owner[0, 12:16, 10:14] = 1  # half as large: the rest of it behind a pole
    after = without_strays(owner)
    assert after[0, 18, 28] == 0
    after[0, 18, 28] = 1
    assert torch.equal(after, owner)


def test_a_part_of_its_usual_area_holds_no_newcomer_however_little_a_slot_owns_of_it() -> None:
    difference = _difference((5, 3, 10, 6))
    owner = _owner(s1=(5, 3, 4, 6))  # the slot explains less than half of its object
    seen = {"on": (1, 1, 0, 0), "colours": torch.zeros(1, 4, 3)}
    assert _guess(difference, owner, **seen).births.any()
    usual = _guess(difference, owner, extents=(0.0, 60.0, 0.0, 0.0), **seen)
    assert not usual.births.any()
    assert usual.moves.tolist() == [[False, True, False, False]]
    assert usual.windows[0, 1].tolist() == pytest.approx(_box(5, 3, 10, 6), abs=1e-5)


def test_what_comes_in_at_the_border_grows_and_is_no_newcomer() -> None:
    difference = _difference((5, 0, 10, 8))
    owner = _owner(s1=(5, 0, 10, 3))
    grows = _guess(difference, owner, on=(1, 1, 0, 0), extents=(0.0, 30.0, 0.0, 0.0), colours=torch.zeros(1, 4, 3))
    assert not grows.births.any()
    assert grows.extents[0, 1] == 80
    assert grows.entering.tolist() == [[False, True, False, False]]


def test_an_object_hidden_behind_another_comes_out_of_its_part() -> None:
    seen = {"on": (1, 1, 0, 0), "waits": [2], "last": {2: (5, 9, 6, 6)}, "colours": torch.zeros(1, 4, 3)}
    both, owner = _difference((5, 3, 6, 12)), _owner(s1=(5, 3, 6, 5))
    alone, hidden = (_guess(both, owner, extents=(0.0, 36.0, area, 0.0), **seen) for area in (0.0, 36.0))
    assert alone.births.any() or alone.returns.any()
    assert not (hidden.births | hidden.returns).any()


BLUE, RED = (-0.3, -0.1, 0.1), (0.1, -0.3, -0.3)


def _known(colour: tuple[float, float, float], height: int, width: int, *slots: int) -> Habits:
    """Habits of slots that are settled on objects of one colour and size."""
    habits = Habits.unknown(torch.zeros(1, 4), 3)
    for slot in slots:
        habits.looks[0, slot] = torch.tensor(colour).repeat(3)
        habits.sides[0, slot] = torch.tensor([math.log(width / SIZE[1]), math.log(height / SIZE[0])])
        habits.alone[0, slot] = 9
    return habits


def test_in_a_joined_part_an_object_is_found_by_its_looks_and_the_rest_is_the_newcomer_s() -> None:
    hand, bottle = (0, 4, 9, 9), (9, 10, 10, 4)  # the hand is where the bottle was a frame ago
    difference = _difference(bottle, colour=BLUE) + _difference(hand, colour=RED)
    owner = _owner(s1=(4, 10, 10, 4), s2=(0, 4, 4, 6))
    colours = torch.tensor([(0.0, 0.0, 0.0), BLUE, RED, BLUE]).unsqueeze(0)
    seen = {"colours": colours, "extents": (0.0, 40.0, 24.0, 0.0), "last": {1: (4, 10, 10, 4), 2: (0, 4, 4, 6)}}
    found = _guess(difference, owner, on=(1, 1, 1, 0), habits=_known(BLUE, 10, 4, 1), **seen)
    assert found.company[0, 1]
    assert found.windows[0, 1].tolist() == pytest.approx(_box(*bottle), abs=0.03)  # half a pixel
    assert found.moves[0, 2]
    assert found.windows[0, 2].tolist() == pytest.approx(_box(*hand), abs=1e-5)
    assert not found.births.any()


def test_what_looks_like_an_object_that_is_known_is_one_more_and_is_known_as_well() -> None:
    alone, bottle = (9, 22, 10, 4), (8, 10, 10, 4)
    difference = _difference(alone, bottle, colour=BLUE)
    difference[0, :, :9, 8:13] = torch.tensor(RED).view(3, 1, 1)  # it covers the first row of the bottle
    colours = torch.tensor([(0.0, 0.0, 0.0), BLUE, RED, RED]).unsqueeze(0)
    seen = {"colours": colours, "extents": (0.0, 40.0, 0.0, 0.0), "last": {1: alone}, "habits": _known(BLUE, 10, 4, 1)}
    found = _guess(difference, _owner(s1=alone), on=(1, 1, 0, 0), **seen)
    assert found.births.tolist() == [[False, False, True, True]]
    one = [int(found.colours[0, slot, 0] < 0) for slot in (2, 3)]
    assert sorted(one) == [0, 1]
    slot = 2 + one.index(1)
    torch.testing.assert_close(found.habits.sides[0, slot], found.habits.sides[0, 1])
    assert found.habits.settled[0, slot]
    assert not found.habits.settled[0, 5 - slot]


def test_what_shows_where_an_object_is_hidden_is_it_only_if_it_looks_like_it() -> None:
    front, back = (4, 4, 10, 6), (4, 10, 10, 5)
    for colour, comes in ((BLUE, True), (RED, False)):
        difference = _difference(front) + _difference(back, colour=colour)
        colours = torch.tensor([(0.0,) * 3, (0.0, -0.3, 0.0), BLUE, BLUE]).unsqueeze(0)
        seen = {"colours": colours, "extents": (0.0, 60.0, 50.0, 0.0), "last": {1: front, 2: back}, "waits": [2]}
        found = _guess(difference, _owner(s1=front), on=(1, 1, 0, 0), habits=_known(BLUE, 10, 5, 2), **seen)
        assert bool(found.returns[0, 2]) is comes


def test_a_slot_that_took_its_neighbour_s_colour_does_not_return_on_that() -> None:
    """Slot 1 is known as blue, and was red when it was seen last: a red part is not its object, a blue one is."""
    red, blue = (0.4, 0.0, 0.0), (0.0, 0.0, 0.4)
    options = {"on": (1, 0, 0, 0), "waits": [1], "last": {1: (4, 12, 6, 6)}}
    options["colours"], habits = torch.tensor(red).expand(1, 4, 3), _known(blue, 6, 6, 1)
    assert not _guess(_difference((4, 6, 6, 6), colour=red), habits=habits, **options).returns.any()
    strangers = Habits.unknown(torch.zeros(1, 4), 3)
    assert _guess(_difference((4, 6, 6, 6), colour=red), habits=strangers, **options).returns[0, 1]
    options["colours"] = torch.tensor(blue).expand(1, 4, 3)
    assert _guess(_difference((4, 6, 6, 6), colour=blue), habits=habits, **options).returns[0, 1]


def test_an_object_moves_with_its_part_whatever_its_neighbour_owns_across_the_edge() -> None:
    """Where colours part them, two of ten columns beyond the edge are no reason to stay behind."""
    difference = _difference((5, 2, 8, 10), colour=(0.4, 0.0, 0.0)) + _difference(
        (5, 12, 8, 10), colour=(0.0, 0.0, 0.4)
    )
    owner = _owner(s1=(5, 1, 8, 12), s2=(5, 13, 8, 8))  # the first owns a column of the second's
    limits = Limits(0.08, 0.12, 4.0, step=0.1)
    found = _guess(difference, owner, on=(1, 1, 1, 0), limits=limits, extents=(0.0, 80.0, 80.0, 0.0))
    assert found.moves.tolist() == [[False, True, True, False]]
    assert found.windows[0, 2].tolist() == pytest.approx(_box(5, 12, 8, 10), abs=1e-5)


@pytest.mark.parametrize("leaving", [False, True])
def test_what_has_partly_left_the_frame_is_where_its_edge_inside_says(leaving: bool) -> None:
    """An object of 10 columns of which the last 4 show at the right border lies 6 columns beyond it."""
    habits = _known((0.4, 0.0, 0.0), 8, 10, 1).arrays()[0]
    windows = np.array([_box(0, 0, *SIZE), _box(5, 26, 8, 4)])
    habits = Habits(*(values[:2] for values in vars(habits).values()))
    places = habits.expected(windows, np.zeros((2, 2)), np.ones(2, bool), leaving)
    left = (places[1, 0] + 1) / 2 * (SIZE[1] - 1) - (10 - 1) / 2  # first column
    assert left == pytest.approx(26 if leaving else 26 - 3, abs=0.4)
