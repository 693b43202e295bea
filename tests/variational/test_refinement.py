"""What the refinement network sees, against the papers' formulas in plain loops of float64."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

from scenewise.variational.mixture import SpatialMixture
from scenewise.variational.refinement import INPUTS, Inputs, Weights, image_gradients

SLOTS, COLOURS, HEIGHT, WIDTH, SIGMA = 3, 3, 2, 3, 0.4
SHARED = ("image", "likelihood", "coordinates")
PER_SLOT = ("means", "masks", "mask_logits", "mask_posterior", "mean_gradient", "mask_gradient", "leave_one_out")


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x (C, H, W), mu (K, C, H, W) and mask logits (K, 1, H, W)."""
    rng = np.random.default_rng(4)
    shape = (COLOURS, HEIGHT, WIDTH)
    return rng.random(shape), rng.random((SLOTS, *shape)), rng.normal(size=(SLOTS, 1, HEIGHT, WIDTH))


def density(x: np.ndarray, mean: np.ndarray) -> float:
    """Return N(x; mean, sigma²) of one pixel, all its channels together."""
    out = 1.0
    for a, b in zip(x, mean, strict=True):
        out *= math.exp(-((a - b) ** 2) / (2 * SIGMA**2)) / (SIGMA * math.sqrt(2 * math.pi))
    return out


def masks_of(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(0)


def negative_log_likelihood(x: np.ndarray, means: np.ndarray, masks: np.ndarray) -> float:
    """Return -sum_i log sum_k m_ik N(x_i; mu_ik, sigma²) (IODINE eq. 1)."""
    total = 0.0
    for i, j in product(range(HEIGHT), range(WIDTH)):
        total -= math.log(sum(masks[k, 0, i, j] * density(x[:, i, j], means[k, :, i, j]) for k in range(SLOTS)))
    return total


def slope(of: str, x: np.ndarray, means: np.ndarray, masks: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Return the gradient of the loss by the means, or by the masks taken as free, by central differences."""
    values = {"means": means.copy(), "masks": masks.copy()}
    found = np.zeros_like(values[of])
    for index in np.ndindex(found.shape):
        ends = []
        for sign in (1, -1):
            moved = {name: value.copy() for name, value in values.items()}
            moved[of][index] += sign * step
            ends.append(negative_log_likelihood(x, moved["means"], moved["masks"]))
        found[index] = (ends[0] - ends[1]) / (2 * step)
    return found


def layer_norm(values: np.ndarray, start: int) -> np.ndarray:
    axes = tuple(range(start, values.ndim))
    away = values - values.mean(axes, keepdims=True)
    return away / np.sqrt((away**2).mean(axes, keepdims=True) + 1e-5)


def papers_inputs() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the image-sized rows of the table of inputs in IODINE's appendix C, shared and per slot."""
    x, means, logits = drawn()
    masks = masks_of(logits)
    likelihood, posterior, others = np.zeros((1, HEIGHT, WIDTH)), np.zeros_like(masks), np.zeros_like(masks)
    for i, j in product(range(HEIGHT), range(WIDTH)):
        n = [density(x[:, i, j], means[k, :, i, j]) for k in range(SLOTS)]
        m = masks[:, 0, i, j]
        likelihood[0, i, j] = sum(m[k] * n[k] for k in range(SLOTS))
        for k in range(SLOTS):
            rest = [j for j in range(SLOTS) if j != k]
            posterior[k, 0, i, j] = n[k] / sum(n)
            others[k, 0, i, j] = sum(m[o] * n[o] for o in rest) / sum(m[o] for o in rest)
    rows, columns = np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH)
    places = np.stack([np.tile(columns, (HEIGHT, 1)), np.tile(rows[:, None], (1, WIDTH))])
    shared = {"image": x, "likelihood": layer_norm(likelihood, 0), "coordinates": places}
    per_slot = {
        "means": means, "masks": masks, "mask_logits": logits, "mask_posterior": posterior,
        "mean_gradient": layer_norm(slope("means", x, means, masks), 1),
        "mask_gradient": layer_norm(slope("masks", x, means, masks), 1),
        "leave_one_out": layer_norm(others, 1),
    }  # fmt: skip
    return shared, per_slot


def mixture_of(mixture: str = "pixel") -> SpatialMixture:
    x, means, logits = (torch.from_numpy(values).unsqueeze(0) for values in drawn())
    return SpatialMixture(x, means, logits, SIGMA, mixture)


def test_the_inputs_are_the_papers_eleven() -> None:
    assert set(INPUTS) == {*SHARED, *PER_SLOT, "posterior_gradient"}
    assert len(INPUTS) == 11
    assert sum(Inputs().channels(3)) == 17
    assert (Inputs().vectors(64), Inputs(("posterior_gradient",)).vectors(64)) == (256, 128)


@pytest.mark.parametrize("left_out", [(), *((name,) for name in INPUTS), ("image", "coordinates", "masks")])
def test_inputs_are_the_papers_table_without_what_is_left_out(left_out: tuple[str, ...]) -> None:
    inputs, mixture = Inputs(left_out, likelihood="probability"), mixture_of()
    found = inputs.build(mixture, image_gradients(mixture, Weights()))
    assert tuple(part.shape[-3] for part in found) == inputs.channels(COLOURS)
    shared, per_slot = papers_inputs()
    expected = (
        np.concatenate([shared[name] for name in SHARED if name not in left_out]),
        np.concatenate([per_slot[name] for name in PER_SLOT if name not in left_out], 1),
    )
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(part[0].numpy(), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_the_public_codes_mask_posterior_is_a_softmax_of_likelihoods_without_constants(mixture: str) -> None:
    x, means, _ = drawn()
    expected = np.zeros((SLOTS, 1, HEIGHT, WIDTH))
    for i, j in product(range(HEIGHT), range(WIDTH)):
        likelihoods = [
            math.exp(sum(-((x[c, i, j] - means[k, c, i, j]) ** 2) / (2 * SIGMA**2) for c in range(COLOURS)))
            for k in range(SLOTS)
        ]
        expected[:, 0, i, j] = np.exp(likelihoods) / np.exp(likelihoods).sum()
    made = mixture_of(mixture)
    _, per_slot = Inputs(mask_posterior="softmax_of_lik").build(made, image_gradients(made, Weights()))
    np.testing.assert_allclose(per_slot[0, :, 5:6].numpy(), expected, rtol=1e-9)


def test_an_image_is_explained_without_symbolic_algebra() -> None:
    code = (
        "import sys, torch, scenewise as sw; from scenewise.models.contract import Observation\n"
        "model = sw.load('iodine-tetris', device='cpu').model.eval()\n"
        "model(Observation(torch.rand(1, 1, 3, *model.config.size)), seed=0)\n"
        "for name in ('ddpae-moving-mnist', 'mulmon-cle-mv', 'provide-balls-colour', 'provide-windows-balls-colour'):\n"
        "    sw.load(name, device='cpu')\n"
        "costly = ('sympy', 'torch._dynamo', 'torch.fx.experimental.symbolic_shapes')\n"
        "print([name for name in costly if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
