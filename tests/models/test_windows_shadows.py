"""Shadows and halos beside objects of slots in windows: whose pixels they are.

The network is untrained: a slot holds what is in its window and clearly no wall, which is what is tested.
"""

from __future__ import annotations

import pytest
import torch

from scenewise.config import build
from scenewise.models.provide_windows import ProvideWindows
from scenewise.models.provide_windows_config import PRESETS, WindowsConfig

SIZE = (24, 48)
WALL = (0.7, 0.6, 0.5)
BODY, SHADE = (slice(8, 16), slice(10, 18)), (slice(12, 16), slice(18, 30))


def _labels(frame: torch.Tensor, **windows: float) -> tuple[torch.Tensor, int]:
    """Stream a still frame (3, H, W) before a wall; return whose each pixel is, (H, W), and the number of objects."""
    torch.manual_seed(0)
    settings = {**PRESETS["tiny"], "size": list(SIZE), "slots": 4, "refinements": 1}
    settings["windows"] = {**settings.get("windows", {}), **windows}
    model = ProvideWindows(build(WindowsConfig, settings, "test")).eval()
    state = model.initial_state(1) | {"background": _wall()[None]}
    for _ in range(4):
        part, state = model.step(frame[None], state)
    return part.labels[0, 0], int((part.tracks[0, 0, 1:] > 0).sum())


def _wall() -> torch.Tensor:
    return torch.tensor(WALL).view(3, 1, 1).expand(3, *SIZE) * torch.linspace(0.8, 1.2, SIZE[1])


def _scene(shade: float) -> torch.Tensor:
    """The wall with a shadow, a share of its light, and a blue body at its end."""
    frame = _wall().clone()
    frame[:, *SHADE] *= shade
    frame[:, *BODY] = torch.tensor((0.1, 0.2, 0.9)).view(3, 1, 1)
    return frame


@pytest.mark.parametrize("shade", [0.75, 0.85, 1.2])
def test_what_differs_in_brightness_alone_is_the_wall_s_where_colour_tells_objects(shade: float) -> None:
    labels, objects = _labels(_scene(shade), brightness=1.0)
    assert objects == 1
    assert (labels[SHADE] == 0).all()
    assert (labels[BODY] > 0).float().mean() > 0.9


def test_where_all_that_differs_is_brightness_it_counts() -> None:
    labels, objects = _labels(_scene(0.75), brightness=0.0)
    assert objects >= 1
    assert (labels[SHADE] > 0).float().mean() > 0.9


def test_a_dark_thing_is_more_than_a_shadow() -> None:
    frame = _wall().clone()
    frame[:, *BODY] *= 0.2  # grey before it: no colour tells, but no shadow takes so much
    labels, objects = _labels(frame, brightness=1.0)
    assert objects == 1
    assert (labels[BODY] > 0).float().mean() > 0.9


def test_a_blurred_edge_is_the_wall_s_where_it_differs_little() -> None:
    frame = _wall().clone()
    colour = torch.tensor((0.1, 0.2, 0.9)).view(3, 1, 1)
    ring = (slice(7, 17), slice(9, 19))
    frame[:, *ring] += 0.05 * (colour - frame[:, *ring])  # a twentieth of the body is in it
    frame[:, *BODY] = colour
    labels, objects = _labels(frame)
    halo = torch.zeros(SIZE, dtype=torch.bool)
    halo[ring] = True
    halo[BODY] = False
    assert objects == 1
    assert (labels[halo] == 0).all()
    assert (labels[BODY] > 0).float().mean() > 0.9
