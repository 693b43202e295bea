"""How many refinements: as many as trained, drawn by training, more than trained; and looks at the first frame."""

from typing import Any

import pytest
import torch

from scenewise.config import build, replace
from scenewise.models import MODELS
from scenewise.observation import Observation

NAMES = ("provide", "iodine", "mulmon")
BATCH = 6


def tiny(name: str, **settings: Any) -> Any:
    kind = MODELS.get(name)
    torch.manual_seed(0)
    config = build(kind.config_class, kind.presets["tiny"], "tiny")
    grid = {"budget": {"grid": "full"}} if name == "provide" else {}
    return kind(replace(replace(config, {"refinements": 3, **grid}, "test"), settings, "test"))


def shown(frames: int = 1, batch: int = BATCH) -> Observation:
    torch.manual_seed(1)
    return Observation(torch.rand(batch, frames, 3, 16, 16), viewpoints=torch.randn(batch, frames, 3))


def astray(name: str, **settings: Any) -> Any:
    """Return a model whose updates do so little that chance says which decode of a frame is best."""
    model = tiny(name, **settings)
    with torch.no_grad():
        model.refine.update.weight.mul_(0.1)
        model.refine.update.bias.zero_()
        model.initial.zero_()
    return model.eval()


@pytest.mark.parametrize("name", ["provide", "iodine"])
def test_beyond_the_trained_number_each_frame_keeps_the_largest_bound(name: str) -> None:
    """Runs with 3, 4, .. 9 refinements are one chain: their bounds are those of its decodes."""
    observation = shown()
    with torch.no_grad():
        runs = [astray(name)(observation, refinements=r).decomposition for r in range(3, 10)]
        found = astray(name, budget={"extra": "better"})(observation, refinements=9).decomposition
    bounds = torch.stack([run.log_likelihood[:, 0] - run.kl[:, 0] for run in runs])  # (R, B)
    best = bounds.argmax(0)
    assert len(set(best.tolist())) > 1  # else nothing would be chosen frame by frame
    for name, tensor in found.tensors().items():
        wanted = torch.stack([getattr(runs[r], name)[i] for i, r in enumerate(best.tolist())])
        torch.testing.assert_close(tensor, wanted, rtol=1e-5, atol=1e-6)


def test_mulmon_keeps_posteriors_of_the_largest_bound() -> None:
    observation = shown()
    given = (observation.frames, observation.viewpoints)
    chain = [astray("mulmon").infer(*given, refinements=r) for r in range(3, 10)]
    found = astray("mulmon", budget={"extra": "better"}).infer(*given, refinements=9)
    distances = torch.stack([(found.mean - q.mean).abs().amax((1, 2)) for q in chain])  # (R, B)
    assert distances.amin(0).max() == 0
    assert len(set(distances.argmin(0).tolist())) > 1


@pytest.mark.parametrize("name", NAMES)
def test_up_to_the_trained_number_all_refinements_count(name: str) -> None:
    observation = shown(2)
    for asked in (None, 2, 5):
        every, better = (
            astray(name, budget={"most": 5, "extra": extra})(observation, refinements=asked).decomposition
            for extra in ("all", "better")
        )
        assert torch.equal(every.masks, better.masks)


def test_the_state_handed_on_is_that_of_the_decode_that_is_kept() -> None:
    """From a state whose frame kept decode r, the next frame goes on as from the state of a run with r."""
    frames = shown(2).frames
    model = astray("provide", budget={"extra": "better"})
    part, state = model.step(frames[:, 0], model.initial_state(BATCH), refinements=9)
    plain = astray("provide")
    runs = [plain.step(frames[:, 0], plain.initial_state(BATCH), refinements=r) for r in range(3, 10)]
    for i in range(BATCH):
        same = [after for before, after in runs if torch.allclose(before.mean[i], part.mean[i], atol=1e-6)]
        assert len(same) == 1
        torch.testing.assert_close(state["hidden"][i], same[0]["hidden"][i])
        torch.testing.assert_close(state["cell"][i], same[0]["cell"][i])


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_draws_its_number_by_its_own_number_alone(name: str) -> None:
    model, observation = tiny(name, budget={"most": 6}).train(), shown(2, batch=1)
    noise = torch.randn(model.noise_shape(1, 2))

    def loss(step: int, number: int | None = None) -> torch.Tensor:
        model.begin_step(step)
        return model.loss(model(observation, refinements=number, seed=5, noise=noise).terms).sum()

    with torch.no_grad():
        by_number = {float(loss(0, number)): number for number in range(3, 7)}
        drawn = [by_number[float(loss(step))] for step in range(8)]
        assert [by_number[float(loss(step))] for step in reversed(range(8))] == drawn[::-1]
        assert len(by_number) == 4
        model.eval()
        assert torch.equal(loss(3), loss(4))  # nothing is drawn where nothing is trained
    numbers = [tiny(name, budget={"most": 6}).train() for _ in range(2)]
    many = []
    for step in range(400):
        numbers[step % 2].begin_step(step)
        many.append(numbers[step % 2].count_refinements(None))
    assert all(70 < many.count(number) < 130 for number in range(3, 7))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ["provide", "iodine"])
def test_only_the_last_decodes_are_trained(name: str, recompute: bool) -> None:
    """One decode with a gradient weighs 1: its loss is that of the decode alone, whatever led to it."""
    model, observation = tiny(name, budget={"gradient_decodes": 1}, recompute=recompute).train(), shown()
    output = model(observation)
    torch.testing.assert_close(output.terms["nll"], -output.decomposition.log_likelihood[:, 0])
    torch.testing.assert_close(output.terms["kl"], output.decomposition.kl[:, 0])
    model.loss(output.terms).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.refine.parameters())
    assert all(p.grad.any() for p in model.decoder.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_as_many_trained_decodes_as_there_are_is_all(name: str) -> None:
    observation = shown(2)
    found = []
    for decodes in (0, 4):
        model = tiny(name, budget={"gradient_decodes": decodes}).train()
        model.loss(model(observation, seed=3).terms).sum().backward()
        found.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_first_frame_can_be_looked_at_more_than_once() -> None:
    """Three looks are a video whose first frame was there three times, all with the noise of the first."""
    frames = shown(2).frames
    several, single = tiny("provide", budget={"first_looks": 3}).eval(), tiny("provide").eval()
    state = single.initial_state(BATCH, seed=7)
    for _ in range(3):
        part, after = single.step(frames[:, 0], state)
        state = {**after, "frame": torch.tensor(0)}
    found, went_on = several.step(frames[:, 0], several.initial_state(BATCH, seed=7))
    assert torch.equal(found.masks, part.masks)
    assert all(torch.equal(went_on[name], after[name]) for name in after)
    assert int(went_on["frame"]) == 1
    later = [model.step(frames[:, 1], after)[0].masks for model in (several, single)]
    assert torch.equal(*later)  # later frames are looked at once
    with torch.no_grad():
        whole = several(shown(2), seed=7)
    torch.testing.assert_close(whole.decomposition.masks, torch.cat([found.masks, later[0]], 1))
    assert whole.terms["nll"].shape == (BATCH,)


def test_training_looks_once() -> None:
    observation, noise = shown(2), torch.randn(BATCH, 2, 3, 3, 8)
    several, single = (tiny("provide", budget={"first_looks": looks}) for looks in (3, 1))
    for mode, given in ((True, None), (True, noise), (False, noise)):
        losses = [model.loss(model.train(mode)(observation, noise=given).terms) for model in (several, single)]
        assert torch.equal(*losses)
