"""Who is who when objects meet: numbers of slots in windows through crossings, hiding places and borders.

The network is untrained: its slots hold what is in their windows, so that all that is tested is where these go.
"""

from __future__ import annotations

import pytest
import torch

from scenewise.config import build
from scenewise.models.provide_windows import ProvideWindows
from scenewise.models.provide_windows_config import PRESETS, WindowsConfig

SIZE = (24, 64)
RED, GREEN, BLUE = (0.95, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.95)


def _tracks(*scenes: dict[str, tuple[int, int, int, int, tuple[float, float, float]]]) -> list[dict[str, int]]:
    """Stream frames of named boxes (left, top, width, height, colour), later ones in front; return their numbers.

    The number of a box is that of most of its visible pixels, 0 where they are the background's.
    """
    torch.manual_seed(0)
    settings = {**PRESETS["tiny"], "size": list(SIZE), "slots": 5, "refinements": 1}
    model = ProvideWindows(build(WindowsConfig, settings, "test")).eval()
    wall = torch.full((1, 3, *SIZE), 0.5)
    state, numbers = model.initial_state(1) | {"background": wall}, []
    for scene in scenes:
        frame, names = wall.clone(), torch.full(SIZE, -1)
        for index, (left, top, width, height, colour) in enumerate(scene.values()):
            inside = (slice(max(top, 0), top + height), slice(max(left, 0), max(left + width, 0)))
            frame[0][:, *inside] = torch.tensor(colour).view(3, 1, 1)
            names[inside] = index
        part, state = model.step(frame, state)
        tracks = part.tracks[0, 0].clamp_min(0)[part.labels[0, 0]]
        visible = {name: tracks[names == index] for index, name in enumerate(scene)}
        numbers.append({name: int(pixels.mode().values) for name, pixels in visible.items() if len(pixels)})
    return numbers


def test_two_that_cross_keep_their_numbers() -> None:
    scenes = [{"back": (50 - 2 * t, 8, 5, 9, GREEN), "front": (8 + 2 * t, 8, 5, 10, RED)} for t in range(22)]
    numbers = _tracks(*scenes)
    assert numbers[5]["back"] != numbers[5]["front"]
    assert numbers[-1] == numbers[5]


def test_one_that_goes_behind_another_comes_out_under_its_number() -> None:
    scenes = [{"walks": (4 + 2 * t, 10, 5, 8, BLUE), "stands": (26, 5, 10, 14, RED)} for t in range(25)]
    numbers = _tracks(*scenes)
    assert any("walks" not in frame for frame in numbers), "it was hidden for some frames"
    assert numbers[-1] == numbers[4]
    assert max(max(frame.values()) for frame in numbers) == 2, "nobody else was seen"


def test_one_that_stops_behind_another_waits_there_for_longer_than_slots_wait_elsewhere() -> None:
    def left(t: int) -> int:
        return 4 + 2 * t if t < 13 else 30 if t < 60 else 30 + 2 * (t - 60)

    scenes = [{"walks": (left(t), 10, 5, 8, BLUE), "stands": (26, 5, 12, 14, RED)} for t in range(72)]
    numbers = _tracks(*scenes)
    assert sum("walks" not in frame for frame in numbers) > WindowsConfig().windows.memory
    assert numbers[-1] == numbers[4]


def test_one_that_leaves_is_not_taken_apart_by_what_resembles_a_piece_of_it() -> None:
    """A figure with black legs goes out while a black thing of the legs' size stands there."""
    black = (0.05, 0.05, 0.05)
    figures = [{"top": (24, 4 + t, 6, 6, RED), "legs": (24, 10 + t, 6, 6, black)} for t in range(16)]
    things = [{"thing": (8, 2, 6, 6, black)} if t > 5 else {} for t in range(16)]
    for frame in _tracks(*(figure | thing for figure, thing in zip(figures, things, strict=True))):
        assert frame["top"] == frame.get("legs", frame["top"]) == 1
        assert frame.get("thing", 2) == 2


def test_one_that_goes_along_the_border_is_not_taken_apart_by_what_resembles_a_piece_of_it() -> None:
    black = (0.05, 0.05, 0.05)
    figures = [{"top": (4 + 2 * t, 12, 6, 6, RED), "legs": (4 + 2 * t, 18, 6, 8, black)} for t in range(16)]
    things = [{"thing": (8, 2, 6, 6, black)} if t > 7 else {} for t in range(16)]
    for frame in _tracks(*(figure | thing for figure, thing in zip(figures, things, strict=True))):
        assert frame["top"] == frame["legs"] == 1
        assert frame.get("thing", 2) == 2


@pytest.mark.parametrize("gap", [0, 2])
def test_two_that_touch_from_their_first_frame_have_two_numbers_once_they_part(gap: int) -> None:
    scenes = [{"stays": (20, 8, 7, 9, RED), "goes": (27 + max(0, t - 3) * (gap + 1), 8, 7, 9, BLUE)} for t in range(10)]
    numbers = _tracks(*scenes)
    assert numbers[-1]["stays"] != numbers[-1]["goes"]
    assert 0 not in numbers[-1].values()
    assert numbers[-1]["stays"] == numbers[-2]["stays"]
