"""Every model on a device against itself on the CPU: what it gives and learns, and that no step waits for the host.

Tolerances: float32 sums in another order agree to 1e-3 of the largest number after a few refinements; bfloat16
convolutions to 5e-2 of it, since each keeps 8 bits of a factor. Gradients agree to 2e-2 of the largest of a parameter,
or to 1e-5 of the largest of the model: a bias before a normalisation has none, but for rounding.
"""

import copy

import pytest
import torch

from scenewise.models import MODELS

FLOAT32, BFLOAT16, GRADIENT, NO_GRADIENT = 1e-3, 5e-2, 2e-2, 1e-5
HALF = ("iodine", "mulmon", "provide", "seq-iodine")


def close(one, two, share, least=1e-6):
    """Compare by the largest number of the second, or by `least` where that is larger."""
    one, two = one.detach().cpu().double(), two.detach().cpu().double()
    scale = max(float(two.abs().max()), least)
    apart = float((one - two).abs().max()) / scale
    assert apart <= share, f"{apart:.2g} of the largest"


def explain(model, observation, noise):
    """Return a model's output, loss and gradients."""
    model.begin_step(3)
    output = model(observation, noise=noise)
    loss = model.loss(output.terms).mean()
    gradients = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
    return output, loss, gradients


def pair(model, observation, device):
    """Return what `explain` gives on the CPU and on the device, with the same noise."""
    generator = torch.Generator().manual_seed(7)
    batch, frames = observation.frames.shape[:2]
    noise = torch.randn(model.noise_shape(batch, frames), generator=generator)
    there = copy.deepcopy(model).to(device)
    return explain(model, observation, noise), explain(there, observation.to(device), noise.to(device))


@pytest.mark.parametrize("name", MODELS.names())
def test_outputs_and_gradients(make, observe, device, name):
    model = make(name)
    (output, loss, gradients), (output_there, loss_there, gradients_there) = pair(model, observe(model), device)
    close(loss_there, loss, FLOAT32)
    for term in output.terms:
        close(output_there.terms[term], output.terms[term], FLOAT32)
    one, two = output.decomposition, output_there.decomposition
    assert two.masks.device.type == device.type
    for part in ("masks", "appearance", "mean", "log_variance", "log_likelihood", "kl"):
        close(getattr(two, part), getattr(one, part), 10 * FLOAT32)
    largest = max(float(gradient.abs().max()) for gradient in gradients if gradient is not None)
    assert largest > 0
    for gradient, gradient_there in zip(gradients, gradients_there, strict=True):
        assert (gradient is None) == (gradient_there is None)
        if gradient is not None:
            close(gradient_there, gradient, GRADIENT, largest * NO_GRADIENT / GRADIENT)


@pytest.mark.parametrize("name", HALF)
def test_bfloat16_convolutions(make, observe, device, name):
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        pytest.skip("this GPU has no bfloat16")
    exact, half = make(name), make(name, bf16_convolutions=True)
    observation = observe(exact)
    noise = torch.randn(exact.noise_shape(2, 4), generator=torch.Generator().manual_seed(7))
    _, loss, _ = explain(exact, observation, noise)
    output, loss_half, gradients = explain(half.to(device), observation.to(device), noise.to(device))
    close(loss_half, loss, BFLOAT16)
    assert output.decomposition.masks.dtype == torch.float32
    assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("name", MODELS.names())
def test_a_step_does_not_wait_for_the_host(make, observe, device, name):
    if device.type != "cuda":
        pytest.skip("only a GPU can be waited for; tests/models/test_devices.py tries the same without one")
    if name == "provide-windows":
        pytest.skip("looks for the parts of a frame on the host")
    model = make(name).to(device)
    observation = observe(model).to(device)
    noise = torch.randn(model.noise_shape(2, 4), device=device)
    explain(model, observation, noise)  # libraries set themselves up
    model.check_frames = lambda frames: None  # the one look at the values of frames, before anything is computed
    torch.cuda.set_sync_debug_mode("error")
    try:
        explain(model, observation, noise)
    finally:
        torch.cuda.set_sync_debug_mode("default")
