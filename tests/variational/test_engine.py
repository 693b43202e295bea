"""What refinement must be to whoever uses it: blind to the order of a batch, fair to slots, small at inference."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scenewise.config import build, replace
from scenewise.errors import InputError
from scenewise.models.iodine import PRESETS as IODINE_PRESETS
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.provide import Provide
from scenewise.models.provide_config import PRESETS as PROVIDE_PRESETS
from scenewise.models.provide_config import ProvideConfig
from scenewise.observation import Observation
from scenewise.variational.gaussian import posterior_of, scale_slope

TINY = {
    Provide: build(ProvideConfig, PROVIDE_PRESETS["tiny"], "tiny"),
    Iodine: build(IodineConfig, IODINE_PRESETS["tiny"], "tiny"),
}
KINDS = [Provide, Iodine]


def tiny(kind: type, **settings: Any) -> Any:
    torch.manual_seed(0)
    return kind(replace(TINY[kind], settings, "test"))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_permuting_the_batch_permutes_the_outputs(kind: type, recompute: bool) -> None:
    """Slots are folded into the batch and must come out of it in the same way (iodine.md 12, item 11)."""
    model, order = tiny(kind, recompute=recompute), torch.tensor([2, 0, 3, 1])
    frames, noise = torch.rand(4, 2, 3, 16, 16), torch.randn(model.noise_shape(4, 2))
    here = model(Observation(frames), noise=noise)
    there = model(Observation(frames[order]), noise=noise[order])
    for name, tensor in here.decomposition.tensors().items():
        torch.testing.assert_close(tensor[order], getattr(there.decomposition, name), rtol=1e-4, atol=1e-5)
    for name, term in here.terms.items():
        torch.testing.assert_close(term[order], there.terms[name], rtol=1e-4, atol=1e-5)
        assert term.detach().unique().numel() == 4  # the four differ, else the order would say nothing


@pytest.mark.parametrize("mask_gradient", ["logit", "mask"])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_slots_with_equal_noise_stay_equal(kind: type, mask_gradient: str) -> None:
    """Nothing but noise tells slots apart (iodine.md 12, item 16): their order must not."""
    model = tiny(kind, inputs={"mask_gradient": mask_gradient}, refinements=6, slots=4)
    noise = torch.randn(model.noise_shape(2, 3))
    noise = noise[..., :1, :].expand_as(noise)
    with torch.no_grad():
        found = model(Observation(torch.rand(2, 3, 3, 16, 16)), noise=noise).decomposition
    for tensor in (found.masks, found.appearance, found.mean, found.log_variance):
        torch.testing.assert_close(tensor, tensor[:, :, :1].expand_as(tensor), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.masks, torch.full_like(found.masks, 0.25), rtol=1e-4, atol=1e-5)


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensors made within this context that are alive; `peak` is the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.peak = dict[int, int](), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.alive:
                    weakref.finalize(storage, self.alive.pop, key, None)
                self.alive[key] = storage.nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))
        return out


def peak(run: Callable[[], Any]) -> int:
    with PeakMemory() as memory:
        run()
    return memory.peak


def watch(model: Provide, frames: int, refinements: int) -> None:
    state = model.initial_state(1)
    for frame in torch.rand(frames, 1, 3, 16, 16):
        _, state = model.step(frame, state, refinements)


def test_memory_at_inference_grows_neither_with_refinements_nor_with_frames() -> None:
    provide, iodine = tiny(Provide, budget={"grid": "full"}), tiny(Iodine)
    image = Observation(torch.rand(1, 1, 3, 16, 16))
    with torch.no_grad():
        few, many = (peak(lambda r=r: iodine(image, refinements=r)) for r in (3, 12))
        assert 0 < many <= 1.01 * few
    few, many, long = (peak(lambda f=f, r=r: watch(provide, f, r)) for f, r in ((2, 4), (2, 12), (12, 4)))
    extra = 10 * 3 * 16 * 16 * 4  # the frames themselves
    assert 0 < many <= 1.01 * few
    assert long <= 1.01 * few + extra


def test_memory_in_training_grows_unless_cells_are_recomputed() -> None:
    """The measure measures: a graph is seen to grow, and `recompute` to shrink it."""
    image = Observation(torch.rand(1, 1, 3, 16, 16))
    stored, recomputed = tiny(Iodine), tiny(Iodine, recompute=True)
    few, many = (peak(lambda r=r: stored(image, refinements=r)) for r in (2, 12))
    assert many > 3 * few
    assert peak(lambda: recomputed(image, refinements=12)) < 0.5 * many


def test_inference_mode_is_told_apart_from_no_grad() -> None:
    torch.manual_seed(0)
    model = Provide(build(ProvideConfig, Provide.presets["tiny"], "tiny"))
    with torch.inference_mode(), pytest.raises(InputError, match="no_grad"):
        model(Observation(torch.rand(1, 1, *model.frame_shape)))


@pytest.mark.parametrize("raw", [-1e3, -90.0, 90.0])
def test_softplus_scales_stay_finite(raw: float) -> None:
    values = torch.tensor([0.0, raw], requires_grad=True)
    posterior_of(values, "softplus").log_variance.sum().backward()
    assert values.grad.isfinite().all()
    assert torch.as_tensor(scale_slope(values.detach(), "softplus")).isfinite().all()
