"""The same numbers frame by frame, as a stream and from a folder."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import scenewise as sw
from scenewise.config import build
from scenewise.data import Sample
from scenewise.decompose import Decomposer
from scenewise.errors import InputError
from scenewise.models import MODELS
from scenewise.models.contract import repeated
from scenewise.variational import compiled


@pytest.fixture
def clip_path(tmp_path, video):
    for t, image in enumerate(video):
        Image.fromarray(image).save(tmp_path / f"{t:02d}.png")
    return tmp_path


def test_the_loop_of_the_readme_works_literally(tiny_model, clip_path):
    model = sw.load(tiny_model)
    source = sw.read_video(clip_path)
    state = model.initial_state()
    for frame in source:
        decomposition, state = model.step(frame, state)
    assert decomposition.masks.shape == (1, 1, 3, 1, 16, 16)
    assert int(state["frame"]) == 12


def test_step_takes_images_and_tensors_alike(tiny, video):
    image = video[3]
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    first = tiny.step(image)[0]
    for given in (tensor, tensor / 255, tensor[None] / 255, image / 255.0):
        torch.testing.assert_close(tiny.step(given)[0].masks, first.masks)
    assert tiny.step((tensor / 255).expand(2, -1, -1, -1))[0].masks.shape[0] == 2


def test_views_of_a_scene_are_streamed_with_their_viewpoints_and_are_no_video():
    settings = build(MODELS.get("mulmon").config_class, MODELS.get("mulmon").presets["tiny"], "tiny")
    scenes = Decomposer(MODELS.get("mulmon")(settings), name="scenes")
    views, cameras = np.random.default_rng(0).random((2, 16, 16, 3), np.float32), np.eye(3, dtype=np.float32)
    state, parts = scenes.initial_state(), []
    for view, camera in zip(views, cameras, strict=False):
        part, state = scenes.step(view, state, viewpoints=camera[None])
        parts.append(part)
    torch.testing.assert_close(state["viewpoint"], torch.tensor([[0.0, 1.0, 0.0]]))
    assert not torch.equal(parts[0].mean, parts[1].mean)
    with pytest.raises(InputError, match=r"scenes: explains views of a scene .* scenewise render SCENE --model scenes"):
        _ = scenes.decompose(views).masks


def test_a_compiled_model_gives_the_same_results(tiny_model, video, monkeypatch, tmp_path):
    made = []

    def traced(graph, inputs):
        made.append(graph)
        return graph

    monkeypatch.setattr(compiled, "quickest", traced)
    model = sw.load(tiny_model)
    expected = model.decompose(video[:3], seed=5).masks
    found = model.compile().decompose(video[:3], seed=5)
    found.save(tmp_path, ["slots"])
    assert made
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["compiled"] is True
    np.testing.assert_allclose(found.masks, expected, atol=1e-6)


def test_step_scales_only_when_told(tiny, video):
    large = video[0].repeat(2, 0).repeat(2, 1)
    with pytest.raises(InputError, match="resize=True"):
        tiny.step(large)
    torch.testing.assert_close(tiny.step(large, resize=True)[0].masks, tiny.step(video[0])[0].masks)
    with pytest.raises(InputError, match="takes"):
        tiny.step(torch.zeros(3, 32, 32), resize=True)


def test_nan_is_refused(tiny):
    with pytest.raises(InputError, match="NaN"):
        tiny.step(torch.full((3, 16, 16), float("nan")))


def test_a_stream_equals_the_forward_pass(tiny, video):
    frames = torch.from_numpy(video).permute(0, 3, 1, 2)[None] / 255
    with torch.no_grad():
        whole = tiny.model(sw.Observation(frames), seed=5).decomposition
    result = tiny.decompose(video, seed=5)
    np.testing.assert_allclose(result.masks, whole.masks[0, :, :, 0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(result.labels, whole.labels[0].numpy())


def test_the_seed_decides(tiny, video):
    one, same, other = (tiny.decompose(video, seed=s).collect("reconstruction") for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("slots", [1, 2, 64])
def test_any_number_of_slots(tiny, video, slots):
    frame = next(iter(tiny.decompose(video[:1], slots=slots)))
    assert frame.masks.shape == (slots, 16, 16)
    np.testing.assert_allclose(frame.masks.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"slots": 257}, {"refinements": 0}, {"refinements": 65}])
def test_options_out_of_range_are_refused_at_once(tiny, wrong):
    with pytest.raises(InputError, match="must lie in"):
        tiny.decompose("never/opened.mp4", **wrong)


def test_fields_of_a_frame_fit_together(oracle, video):
    for t, frame in enumerate(oracle.decompose(video)):
        assert frame.index == t
        np.testing.assert_array_equal(frame.image, video[t])
        np.testing.assert_array_equal(frame.picture, video[t])
        assert frame.mse == pytest.approx(0, abs=1e-10)
        assert frame.appearance.dtype == np.uint8
        assert frame.labels.dtype == np.uint8
        assert frame.std == pytest.approx(np.exp(-2))
        assert not frame.predicted


def test_uncertainty_is_the_spread_over_samples(oracle, video):
    frame = next(iter(oracle.decompose(video)))
    spread = frame.uncertainty
    assert spread.shape == (16, 16)
    assert 0.01 < spread.mean() < 0.3
    again = next(iter(oracle.decompose(video)))
    np.testing.assert_array_equal(spread, again.uncertainty)


def test_uncertainty_of_a_conditional_decoder(tiny, video):
    frames = list(tiny.decompose(video[:3]))
    assert all(np.isfinite(f.uncertainty).all() and f.uncertainty.max() > 0 for f in frames)


def test_prediction_has_the_true_future_beside_it(oracle, video):
    frames = list(oracle.predict(video, observe=5, steps=10))
    assert [f.predicted for f in frames] == [False] * 5 + [True] * 10
    assert [f.index for f in frames] == list(range(15))
    for frame in frames[5:12]:
        np.testing.assert_array_equal(frame.truth, video[frame.index])
        np.testing.assert_array_equal(frame.picture, video[4])
        assert frame.mse > 0
        assert not frame.image.any()
    assert all(f.truth is None and np.isnan(f.mse) for f in frames[12:])


def test_prediction_equals_the_models_own(tiny, video):
    state = tiny.initial_state(seed=3)
    for frame in video[:4]:
        _, state = tiny.step(frame, state)
    expected, _ = tiny.model.predict(state, 3)
    found = tiny.predict(video, 4, 3, seed=3).collect("reconstruction")[4:]
    np.testing.assert_allclose(found, expected.reconstruction[0].permute(0, 2, 3, 1).numpy(), atol=1e-6)


def test_a_video_too_short_to_observe(tiny, video):
    with pytest.raises(InputError, match="fewer than the 13"):
        list(tiny.predict(video, 13, 2))
    with pytest.raises(InputError, match="at least 1"):
        tiny.predict(video, 0, 2)


def test_truth_comes_along(oracle, video, ids):
    frames = list(oracle.decompose(Sample(np.moveaxis(video, -1, 1), ids)))
    np.testing.assert_array_equal(np.stack([f.ids for f in frames]), ids)


def test_states_are_repeated_for_samples():
    state = {"hidden": torch.ones(1, 3, 2), "seed": torch.tensor(4), "pair": torch.ones(2, 2)}
    shapes = {name: tuple(t.shape) for name, t in repeated(state, 4).items()}
    assert shapes == {"hidden": (4, 3, 2), "seed": (), "pair": (2, 2)}


def test_a_device_that_is_not_there(tiny_model):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="not there"):
        sw.load(tiny_model, device="cuda")


def test_overrides_reach_the_settings(tiny_model):
    assert sw.load(tiny_model, device="cpu", slots=7).slots == 7
    with pytest.raises(InputError, match="slots"):
        sw.load(tiny_model, device="cpu", slot=7)
