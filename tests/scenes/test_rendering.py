"""Scenes drawn from viewpoints: what is observed and drawn, how sure the model is, and a turn around the scene."""

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.errors import InputError
from scenewise.media import SLOT_COLOURS
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.mulmon import Mulmon, MulmonConfig
from scenewise.scenes.files import heat, sheet, slots, summary, true_objects, turn
from scenewise.scenes.rendering import (
    SAMPLES,
    Rendering,
    Scene,
    checked_views,
    render_scene,
    turn_viewpoints,
)
from scenewise.variational.gaussian import Gaussian

RING = np.array([[np.cos(a) - 1, np.sin(a), 0] for a in (0.3, 1.0, 2.0, 4.0, 5.0)], np.float32)


@pytest.fixture(scope="module")
def decomposer() -> Decomposer:
    torch.manual_seed(0)
    return Decomposer(Mulmon(build(MulmonConfig, Mulmon.presets["tiny"], "test")), name="tiny")


def scene(viewpoints: np.ndarray = RING, ids: bool = True) -> Scene:
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (len(viewpoints), 16, 16, 3), dtype=np.uint8)
    truth = random.integers(0, 3, (len(viewpoints), 16, 16)) if ids else None
    return Scene("test", frames, viewpoints, truth, (0,), (16, 16))


def test_observed_views_come_in_the_order_asked_for(decomposer: Decomposer) -> None:
    made = scene()
    found = render_scene(decomposer, made, [3, 0], [1, 3], seed=4)
    model = decomposer.model
    assert isinstance(model, Mulmon)
    cameras = torch.from_numpy(made.viewpoints)[None]
    posterior = model.infer(made.tensor[[3, 0]][None], cameras[:, [3, 0]], seed=4)
    np.testing.assert_array_equal(found.mean, posterior.mean[0])
    shown = model.render(posterior, cameras[:, [1, 3]], seed=None)
    np.testing.assert_allclose(found.views.images, shown.reconstruction[0].movedim(1, -1), atol=1e-6)
    np.testing.assert_array_equal(found.views.labels, shown.labels[0])
    assert found.views.masks.shape == (2, 3, 16, 16)
    other = render_scene(decomposer, made, [0, 3], [1, 3], seed=4)
    assert not np.allclose(other.mean, found.mean)


def test_uncertainty_is_the_log_variance_of_samples(decomposer: Decomposer) -> None:
    made = scene()
    found = render_scene(decomposer, made, [0], [2], seed=1)
    model = decomposer.model
    assert isinstance(model, Mulmon)
    posterior = Gaussian(torch.from_numpy(found.mean)[None], 2 * torch.from_numpy(found.std)[None].log())
    camera = torch.from_numpy(made.viewpoints[None, 2:3])
    images = np.stack([model.render(posterior, camera, 1 + i).reconstruction[0, 0].numpy() for i in range(SAMPLES)])
    expected = np.log10(((images - images.mean(0)) ** 2).sum((0, 1)) / (SAMPLES - 1) + 1e-6)
    np.testing.assert_allclose(found.uncertainty[0], expected, atol=1e-3)


def test_a_turn_begins_at_the_first_observed_view_and_stays_on_the_ring(decomposer: Decomposer) -> None:
    around = turn_viewpoints(RING, 2)
    assert around.shape == (72, 3)
    np.testing.assert_allclose(around[0], RING[2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(around + np.array([1, 0, 0]), axis=1), 1, rtol=1e-6)
    quarter = np.array([np.cos(2.0 + np.pi / 2) - 1, np.sin(2.0 + np.pi / 2), 0])
    np.testing.assert_allclose(around[18], quarter, atol=1e-6)
    assert len(turn_viewpoints(RING * 1.1, 0)) == 0
    assert len(turn_viewpoints(np.zeros((2, 7), np.float32), 0)) == 0
    off = render_scene(decomposer, scene(RING * 1.1), [0])
    assert off.turn is None
    assert len(turn(off)) == 0


def test_views_that_are_not_there_are_told(decomposer: Decomposer) -> None:
    made = scene()
    for wrong in ([5], [-1], []):
        with pytest.raises(InputError, match="views 0 to 4"):
            checked_views(wrong, made, "--observe")
    with pytest.raises(InputError, match="twice"):
        checked_views([1, 1], made, "--query")
    with pytest.raises(InputError, match="takes 3 numbers"):
        render_scene(decomposer, scene(np.zeros((2, 7), np.float32)), [0])
    other = Decomposer(Iodine(build(IodineConfig, Iodine.presets["tiny"], "test")), name="other")
    with pytest.raises(InputError, match="does not draw scenes"):
        render_scene(other, made, [0])


def test_scores_sum_channels_and_tell_new_views_apart(decomposer: Decomposer) -> None:
    found = render_scene(decomposer, scene(), [0, 1])
    facts = summary(found)
    truth = found.scene.frames / 255
    errors = np.sqrt(((found.views.images - truth) ** 2).sum(-1).mean((1, 2)))
    assert [row["rmse"] for row in facts["views"]] == pytest.approx(errors, rel=1e-4)
    assert [row["observed"] for row in facts["views"]] == [True, True, False, False, False]
    assert facts["rmse"] == pytest.approx(float(np.sqrt((errors[2:] ** 2).mean())), rel=1e-4)
    assert facts["novel_views"] == 3
    without = summary(render_scene(decomposer, scene(ids=False), [0, 1], [0, 1]))
    assert without["miou"] is None
    assert without["rmse"] is None


def perfect() -> Rendering:
    """Slot 2 - id owns every object."""
    made = scene()
    assert made.ids is not None
    labels = 2 - made.ids
    drawn_as = type("DrawnViews", (), {"labels": labels, "pictures": made.frames})()
    blank = np.full(labels.shape, -6.0)
    views = tuple(range(5))
    return Rendering(made, (0,), views, drawn_as, blank, np.zeros((3, 8)), np.ones((3, 8)), None, np.zeros((0, 3)))


def test_true_objects_have_the_colour_of_their_slot() -> None:
    found = perfect()
    np.testing.assert_array_equal(true_objects(found), slots(found))
    assert sheet(found).shape == (5 * (128 + 4), 5 * (128 + 4), 3)


def test_colours_of_uncertainty_rise_over_their_range() -> None:
    values = heat(np.linspace(-7, -1, 13)[None])[0].astype(int)
    brightness = values.sum(-1)
    assert (values[:3] == values[0]).all()  # -7 to -6
    assert (values[-3:] == values[-1]).all()  # -2 to -1
    assert (np.diff(brightness[2:11]) > 0).all()
    assert len(SLOT_COLOURS) == 64
