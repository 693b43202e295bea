"""Drawing and cropping by a pose, against PyTorch's own sampler and by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from scenewise.nn.spatial_transformer import centres, crop_out, draw_in


def sampled(images, scale, across, down, size):
    """The same by `grid_sample`, image by image; shape (N, C, h, w), one pose each."""
    theta = torch.stack([torch.stack([torch.stack([s, s * 0, x]), torch.stack([s * 0, s, y])])
                         for s, x, y in zip(scale, across, down, strict=True)])  # fmt: skip
    grid = functional.affine_grid(theta, [len(images), images.shape[1], *size], align_corners=True)
    return functional.grid_sample(images, grid, align_corners=True)


@pytest.fixture
def poses():
    generator = torch.Generator().manual_seed(0)
    scale = 1 + 3 * torch.rand(40, 1, generator=generator)
    return torch.cat([scale, (2 * torch.rand(40, 2, generator=generator) - 1) * (scale - 0.5)], -1)


def test_drawing_is_what_pytorch_samples(poses):
    images = torch.rand(40, 2, 12, 9)
    expected = sampled(images, *poses.unbind(-1), (20, 31))
    torch.testing.assert_close(draw_in(images, poses, (20, 31)), expected, rtol=1e-4, atol=1e-5)


def test_cropping_is_what_pytorch_samples(poses):
    frames = torch.rand(40, 1, 32, 32)
    scale, across, down = poses.unbind(-1)
    expected = sampled(frames, 1 / scale, -across / scale, -down / scale, (16, 16))
    torch.testing.assert_close(crop_out(frames, poses, (16, 16)), expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_pytorchs_sampler(poses):
    images = torch.rand(40, 1, 16, 16, requires_grad=True)
    weights = torch.rand(40, 1, 32, 32)
    mine, theirs = poses.double().requires_grad_(), poses.double().requires_grad_()
    (draw_in(images.double(), mine, (32, 32)) * weights).sum().backward()
    drawn = images.grad.clone()
    images.grad = None
    (sampled(images.double(), *theirs.unbind(-1), (32, 32)) * weights).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(drawn, images.grad, rtol=1e-4, atol=1e-4)


def test_leading_axes_broadcast(poses):
    images, some = torch.rand(2, 1, 3, 1, 8, 8), poses[:30].reshape(2, 5, 3, 3)
    drawn = draw_in(images, some, (16, 16))
    assert drawn.shape == (2, 5, 3, 1, 16, 16)
    torch.testing.assert_close(drawn[1, 4, 2], draw_in(images[1, 0, 2], some[1, 4, 2], (16, 16)))


def test_scale_two_draws_half_the_side_in_the_middle():
    drawn = draw_in(torch.ones(1, 32, 32), torch.tensor([2.0, 0, 0]), (64, 64))[0]
    rows, columns = drawn.sum(1), drawn.sum(0)
    assert torch.equal(rows, columns)
    lit = torch.nonzero(rows > rows.max() / 2).flatten()
    assert (int(lit[0]), int(lit[-1])) == (16, 47)
    assert float(drawn[20:44, 20:44].min()) == 1.0


@pytest.mark.parametrize("moved", [(0.25, 0.0), (0.0, -0.5), (0.3, 0.4)])
def test_shift_moves_the_middle_the_other_way(moved):
    scale, (x, y) = 2.0, moved
    drawn = draw_in(torch.ones(1, 32, 32), torch.tensor([scale, -scale * x, -scale * y]), (64, 64))[0]
    grid = torch.linspace(-1, 1, 64)
    middle = (drawn.sum(0) @ grid / drawn.sum(), drawn.sum(1) @ grid / drawn.sum())
    assert middle[0] == pytest.approx(x, abs=0.01)
    assert middle[1] == pytest.approx(y, abs=0.01)


def test_cropping_undoes_drawing():
    side = torch.linspace(-1, 1, 32)
    smooth = torch.exp(-4 * (side[:, None] ** 2 + (side - 0.2) ** 2))[None]
    pose = torch.tensor([2.0, 0.6, -0.5])
    back = crop_out(draw_in(smooth, pose, (64, 64)), pose, (32, 32))
    assert float((back - smooth).abs().max()) < 0.02


def test_centres_tell_where_a_drawing_lies():
    generator = torch.Generator().manual_seed(1)
    blob = torch.ones(1, 16, 16)
    for _ in range(20):
        scale = 2 + torch.rand(1, generator=generator)
        pose = torch.cat([scale, (2 * torch.rand(2, generator=generator) - 1) * (scale - 1)])
        drawn = draw_in(blob, pose, (64, 64))[0]
        pixels = torch.arange(64.0)
        found = torch.stack([drawn.sum(0) @ pixels, drawn.sum(1) @ pixels]) / drawn.sum()
        assert float((centres(pose) * 64 - found).abs().max()) <= 1.0
