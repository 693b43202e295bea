"""Every registered model keeps the contract; a new model gets this suite by registering."""

import itertools

import numpy as np
import pytest
import torch

from scenewise.config import build, plain
from scenewise.errors import InputError
from scenewise.models import MODELS
from scenewise.models.contract import Decodes, Predictor, Samples, SceneModel
from scenewise.observation import Observation


@pytest.fixture(params=MODELS.names())
def model(request: pytest.FixtureRequest) -> SceneModel:
    torch.manual_seed(0)
    cls = MODELS.get(request.param)
    return cls(build(cls.config_class, cls.presets["tiny"], "tiny"))


def video(model: SceneModel, batch: int = 2, frames: int = 4, seed: int = 5) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(batch, frames, *model.frame_shape, generator=generator)
    size = model.viewpoint_size
    return Observation(images, None, None if size is None else torch.randn(batch, frames, size, generator=generator))


def part(observation: Observation, rows: slice) -> Observation:
    cameras = observation.viewpoints
    return Observation(observation.frames[rows], None, None if cameras is None else cameras[rows])


def test_presets_build_and_settings_round_trip(model: SceneModel) -> None:
    cls = type(model)
    for name, preset in cls.presets.items():
        config = build(cls.config_class, preset, name)
        assert build(cls.config_class, plain(config), name) == config


def test_shapes_and_masks(model: SceneModel) -> None:
    observation = video(model)
    output = model(observation)
    d, k = output.decomposition, model.config.slots
    channels, height, width = model.frame_shape
    assert d.masks.shape == (2, 4, k, 1, height, width)
    assert d.appearance.shape == (2, 4, k, channels, height, width)
    assert d.reconstruction.shape == observation.frames.shape
    assert d.mean.shape == d.log_variance.shape == d.prior_mean.shape
    assert d.log_likelihood.shape == d.kl.shape == (2, 4)
    assert bool((d.masks >= 0).all())
    if d.responsibilities is not None:
        assert d.responsibilities.shape == d.masks.shape
        torch.testing.assert_close(d.responsibilities.sum(2), torch.ones_like(d.masks[:, :, 0]))
    torch.testing.assert_close(d.masks.sum(2), torch.ones_like(d.masks[:, :, 0]))
    assert all(term.shape == (2,) for term in output.terms.values())


def test_loss_is_finite_and_falls_on_a_toy(model: SceneModel) -> None:
    observation = video(model, frames=2)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(14):
        loss = model.loss(model(observation).terms).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        losses.append(loss.item())
    assert all(torch.isfinite(torch.tensor(losses)))
    assert sum(losses[-5:]) < sum(losses[:5])


def test_all_parameters_learn(model: SceneModel) -> None:
    model.loss(model(video(model)).terms).mean().backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum())]
    assert not silent


def test_permuting_slot_noise_permutes_slots(model: SceneModel) -> None:
    if not model.slot_symmetric:
        pytest.skip("slots have an order")
    observation, k = video(model), model.config.slots
    noise = torch.randn(model.noise_shape(2, 4), generator=torch.Generator().manual_seed(1))
    order = torch.arange(k).roll(1)
    first = model(observation, noise=noise).decomposition
    second = model(observation, noise=noise[:, :, :, order]).decomposition
    torch.testing.assert_close(second.masks, first.masks[:, :, order], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(second.mean, first.mean[:, :, order], rtol=1e-3, atol=1e-3)


def test_batch_size_and_order_change_nothing(model: SceneModel) -> None:
    model.eval()  # batch norms look at a batch together in training
    observation = video(model, batch=3)
    noise = torch.randn(model.noise_shape(3, 4), generator=torch.Generator().manual_seed(1))
    whole = model(observation, noise=noise).decomposition
    for i in (2, 0):
        one = model(part(observation, slice(i, i + 1)), noise=noise[i : i + 1]).decomposition
        torch.testing.assert_close(one.masks, whole.masks[i : i + 1], rtol=1e-3, atol=1e-4)


def test_slots_change_at_test(model: SceneModel) -> None:
    others = (1, model.config.slots + 3, 64)
    for slots in others:
        if model.fixed_slots and slots != model.config.slots:
            with pytest.raises(InputError, match="slots"):
                model(video(model, 1, 2), slots=slots)
            continue
        d = model(video(model, 1, 2), slots=slots).decomposition
        assert d.slots == slots
        assert bool(d.masks.isfinite().all())
    with pytest.raises(InputError, match="slots"):
        model(video(model, 1, 1), slots=0)


def test_refinements_change_at_test_or_are_refused(model: SceneModel) -> None:
    if not hasattr(model.config, "refinements"):
        with pytest.raises(InputError, match="does not refine"):
            model(video(model, 1, 2), refinements=2)
        return
    for refinements in (1, model.config.refinements + 2):
        assert model(video(model, 1, 2), refinements=refinements).decomposition.masks.isfinite().all()


def test_forward_is_the_fold_of_step(model: SceneModel) -> None:
    if not model.keeps_slots:
        pytest.skip("keeps no slots")
    observation = video(model)
    whole = model(observation, seed=11).decomposition
    state = model.initial_state(2, seed=11)
    for t in range(4):
        part, state = model.step(observation.frames[:, t : t + 1], state)
        torch.testing.assert_close(part.masks[:, 0], whole.masks[:, t], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part.mean[:, 0], whole.mean[:, t], rtol=1e-3, atol=1e-4)
    assert not any(tensor.requires_grad for tensor in state.values())


def test_state_can_be_saved_and_continued(model: SceneModel, tmp_path) -> None:
    if model.viewpoint_size is not None:
        pytest.skip("views are no video")
    frames = video(model).frames
    _, state = model.step(frames[:, :1], model.initial_state(2, seed=3))
    torch.save(state, tmp_path / "state.pt")
    restored = torch.load(tmp_path / "state.pt", weights_only=True)
    one, _ = model.step(frames[:, 1:2], state)
    two, _ = model.step(frames[:, 1:2], restored)
    assert torch.equal(one.masks, two.masks)


def test_several_frames_in_one_step_are_steps_of_one(model: SceneModel) -> None:
    if model.window > 1 or model.viewpoint_size is not None:
        pytest.skip("explains frames together")
    model.eval()
    frames = video(model).frames
    whole, after = model.step(frames, model.initial_state(2, seed=3))
    state, parts = model.initial_state(2, seed=3), []
    for t in range(4):
        part, state = model.step(frames[:, t], state)  # without T, which is 1
        parts.append(part)
    torch.testing.assert_close(whole.masks, torch.cat([part.masks for part in parts], 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.kl, torch.cat([part.kl for part in parts], 1), rtol=1e-4, atol=1e-4)
    assert state.keys() == after.keys()
    assert not whole.masks.requires_grad


def test_slots_that_are_not_kept_are_linked(model: SceneModel) -> None:
    """Each slot goes on with what it showed, at the least squared difference over all orders, tried one by one."""
    if model.keeps_slots or model.viewpoint_size is not None:
        pytest.skip("slots are not linked")
    model.eval()
    frames = video(model, batch=1, frames=2).frames
    alone = model(Observation(frames[:, 1:]), seed=4).decomposition  # the seed of a video begun with 3 at its frame 1
    first, state = model.step(frames[:, :1], model.initial_state(1, seed=3))
    second, state = model.step(frames[:, 1:], state)
    shown, now = ((part.masks * part.appearance)[0, -1].flatten(1) for part in (first, alone))  # (K, C H W)
    orders = list(itertools.permutations(range(len(now))))
    costs = [float((now[list(order)] - shown).square().sum()) for order in orders]
    best = orders[int(np.argmin(costs))]
    cost = float((now[state["order"][0]] - shown).square().sum())
    assert cost == pytest.approx(min(costs), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(second.masks[0, 0], alone.masks[0, 0, state["order"][0]], rtol=1e-4, atol=1e-5)
    if sorted(costs)[min(1, len(costs) - 1)] > 1.01 * min(costs):
        assert state["order"][0].tolist() == list(best)


def test_noise_has_a_draw_for_every_decode(model: SceneModel) -> None:
    spread = model.refinement_range
    if spread is None:
        assert model.decodes() == 1
        return
    assert spread[0] == model.config.refinements <= spread[1]
    assert model.noise_shape(2, 4)[2] >= model.decodes(0, spread[1]) >= model.decodes(3, spread[1]) > 0


def test_same_seed_same_bytes_whatever_the_global_generator(model: SceneModel) -> None:
    first = model(video(model), seed=4).decomposition
    torch.manual_seed(99)
    again, other = (model(video(model), seed=seed).decomposition for seed in (4, 5))
    assert torch.equal(first.masks, again.masks)
    assert torch.equal(first.appearance, again.appearance)
    assert not torch.equal(first.appearance, other.appearance)  # masks need not depend on noise


def test_works_under_no_grad_and_gives_the_same(model: SceneModel) -> None:
    expected = model(video(model)).decomposition.masks
    with torch.no_grad():
        found = model(video(model)).decomposition.masks
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not found.requires_grad


def test_state_dict_round_trip(model: SceneModel) -> None:
    twin = type(model)(model.config)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(video(model)).decomposition.masks, model(video(model)).decomposition.masks)


def test_prediction_continues_and_can_be_split(model: SceneModel) -> None:
    if not isinstance(model, Predictor):
        pytest.skip("no prediction")
    frames = video(model).frames
    _, state = model.step(frames[:, :3], model.initial_state(2))
    whole, _ = model.predict(state, 5)
    head, middle = model.predict(state, 2)
    tail, _ = model.predict(middle, 3)
    torch.testing.assert_close(whole.masks, torch.cat([head.masks, tail.masks], 1))
    assert whole.masks.shape[1] == 5
    assert whole.responsibilities is None, "nobody has seen these frames"
    assert not whole.masks.requires_grad


def test_decodes_latents(model: SceneModel) -> None:
    if not isinstance(model, Decodes):
        pytest.skip("does not draw latents")
    model.eval()
    masks, appearance = model.decode(model(video(model, 1, 1)).decomposition.mean[:, 0])
    torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]))
    assert appearance.shape[2:] == model.frame_shape


def test_samples_are_scenes_and_depend_on_seed_and_place_alone(model: SceneModel) -> None:
    if not isinstance(model, Samples):
        pytest.skip("does not make up scenes")
    model.eval()
    masks, appearance = model.sample(3, seed=7)
    assert masks.shape[:3] == (3, model.config.slots, 1)
    assert appearance.shape == (3, model.config.slots, *model.frame_shape)
    torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]))
    torch.testing.assert_close(model.sample(2, seed=7)[1], appearance[:2])
    assert not torch.allclose(model.sample(1, seed=8)[1], appearance[:1])
    assert not torch.allclose(appearance[0], appearance[1])
    assert not appearance.requires_grad
    with pytest.raises(InputError, match="count"):
        model.sample(0)


def test_missing_or_wrong_viewpoints_are_told(model: SceneModel) -> None:
    size, frames = model.viewpoint_size, video(model).frames
    if size is None:
        pytest.skip("takes no viewpoints")
    for given in (None, torch.zeros(2, 4, size + 1)):
        with pytest.raises(InputError, match="viewpoints"):
            model(Observation(frames, None, given))


@pytest.mark.parametrize("name", [n for n in MODELS.names() if hasattr(MODELS.get(n).config_class, "duplicates")])
@pytest.mark.parametrize("on", ["sample", "mean"])
def test_prior_against_duplicates_weighs_in_training_alone(name: str, on: str) -> None:
    cls = MODELS.get(name)
    losses, masks = [], []
    for duplicates in ({}, {"on": on}, {"on": on, "weight": 0.5}):
        torch.manual_seed(0)
        model = cls(build(cls.config_class, {**cls.presets["tiny"], "duplicates": duplicates}, "tiny"))
        output = model(video(model), seed=3)
        losses.append(model.loss(output.terms).detach())
        masks.append(output.decomposition.masks)
        weighted = losses[-1] - losses[0]
        model.loss(output.terms).mean().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert torch.equal(losses[0], losses[1])
    torch.testing.assert_close(weighted, 0.5 * output.terms["duplicates"].detach(), rtol=1e-3, atol=1e-2)
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])


def test_bad_frames_are_told(model: SceneModel) -> None:
    channels, height, width = model.frame_shape
    with pytest.raises(InputError, match="model takes"):
        model(Observation(torch.rand(1, 1, channels, height, width + 8)))
    broken = video(model)
    broken.frames[0, 1, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN"):
        model(broken)
    with pytest.raises(InputError, match=r"\(B, T, C, H, W\)"):
        Observation(torch.rand(3, 8, 8))


def test_models_that_remark_on_frames_say_so() -> None:
    kinds = [MODELS.get(name) for name in MODELS.names()]
    assert [kind for kind in kinds if kind.remarks] == [kind for kind in kinds if kind.remark is not SceneModel.remark]
