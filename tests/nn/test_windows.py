"""Windows: drawn and cropped as bilinear sampling says, and boxes of what slots own."""

import math
from dataclasses import replace

import torch
from torch.nn import functional

from scenewise.nn.windows import CropEncoder, PatchCanvas, WindowDecoder, WindowScene, box_of, interpolation


def _decoder(size: int = 8) -> WindowDecoder:
    torch.manual_seed(0)
    return WindowDecoder(6, 5, 16, PatchCanvas(16, 8, 3, size, 4), 3, 2)


def _scene(height: int, width: int) -> WindowScene:
    windows = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [0.5, -0.25, math.log(0.25), math.log(0.5)]]])
    return WindowScene(torch.rand(1, 3, height, width), windows, torch.ones(1, 2))


def test_interpolation_is_bilinear_sampling_of_the_inner_side() -> None:
    centre, half, inner = torch.tensor([0.3, -0.5]), torch.tensor([0.5, 0.2]), torch.rand(2, 9)
    drawn = interpolation(centre, half, 31, 9) @ inner.unsqueeze(2)
    for n in range(2):
        u = (torch.linspace(-1, 1, 31) - centre[n]) / half[n]
        grid = torch.stack([u, torch.zeros(31)], -1).view(1, 1, 31, 2)
        expected = functional.grid_sample(inner[n].view(1, 1, 1, 9), grid, align_corners=True)
        torch.testing.assert_close(drawn[n, :, 0], expected.flatten(), atol=1e-5, rtol=0)


def test_a_slot_draws_in_its_window_and_nowhere_else() -> None:
    decoder, scene = _decoder(), _scene(33, 41)
    latent = torch.zeros(1, 2, 6)
    means, logits = decoder(latent, torch.zeros(1, 2, 5), scene)
    x, y = torch.linspace(-1, 1, 41), torch.linspace(-1, 1, 33)
    far = ((x - 0.5).abs() > 0.6)[None, :] | ((y + 0.25).abs() > 1.2)[:, None]
    assert bool((means[0, 1][:, far] == 0).all())
    assert float(logits.detach()[0, 1, 0][far].max()) < -20
    inside = ((x - 0.5).abs() < 0.2)[None, :] & ((y + 0.25).abs() < 0.4)[:, None]
    assert float(means.detach()[0, 1][:, inside].min()) > 0
    assert float(logits.detach()[0, 1, 0][inside].min()) > -3
    torch.testing.assert_close(means[0, 0], scene.picture[0])  # z = 0 adds no light
    assert not logits[0, 0].any()


def test_latents_move_windows_by_a_quarter_and_light_the_background() -> None:
    scene, latent = _scene(12, 16), torch.zeros(1, 2, 6)
    latent[0, 1, :4] = torch.tensor([0.4, -0.4, 1.0, -1.0])
    expected = [0.6, -0.35, math.log(0.25) + 0.25, math.log(0.5) - 0.25]
    torch.testing.assert_close(scene.windows_at(latent)[0, 1], torch.tensor(expected))
    assert not scene.windows_at(latent)[0, 0].any()
    decoder = _decoder()
    latent[0, 0, 1] = 2.0
    means, _ = decoder(latent, torch.zeros(1, 2, 5), scene)
    corners = means[0, 0, :, [0, -1]][:, :, [0, -1]] - scene.picture[0][:, [0, -1]][:, :, [0, -1]]
    torch.testing.assert_close(corners, 2 * decoder.light[1][:, [0, -1]][:, :, [0, -1]].detach())


def test_slots_that_are_off_draw_nothing_and_size_is_no_parameter() -> None:
    decoder, latent, h = _decoder(), torch.zeros(1, 2, 6), torch.zeros(1, 2, 5)
    on = _scene(12, 16)
    off = replace(on, on=torch.tensor([[1.0, 0.0]]))
    means, logits = decoder(latent, h, off)
    assert not means[0, 1].any()
    assert float(logits.detach()[0, 1].max()) < -30
    two = WindowScene(on.picture.repeat(2, 1, 1, 1), on.windows.repeat(2, 1, 1), torch.cat([off.on, on.on]))
    both = decoder(latent.repeat(2, 1, 1), h.repeat(2, 1, 1), two)
    torch.testing.assert_close(both[1][1], decoder(latent, h, on)[1][0])
    torch.testing.assert_close(both[0][0], means[0])
    assert decoder(latent, h, _scene(30, 20))[0].shape == (1, 2, 3, 30, 20)
    assert decoder(latent[:, :1], h[:, :1], WindowScene(on.picture, on.windows[:, :1], on.on[:, :1]))[0].shape[1] == 1


def test_crops_are_bilinear_samples_about_the_window() -> None:
    encoder = CropEncoder(2, 3, 8, 7, 4, 8, 1.5)
    shared, own = torch.rand(2, 2, 20, 30), torch.rand(2, 3, 3, 20, 30)
    windows = torch.cat([torch.rand(2, 3, 2) - 0.5, torch.rand(2, 3, 2) - 1.5], -1)
    crops = encoder.crops(shared, own, windows, torch.arange(6)).unflatten(0, (2, 3))
    for b in range(2):
        for k in range(3):
            x, y, wide, high = windows[b, k]
            along = 1.5 * torch.linspace(-1, 1, 8)
            rows, columns = y + high.exp() * along, x + wide.exp() * along
            grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).unsqueeze(0)
            both = torch.cat([shared[b], own[b, k]]).unsqueeze(0)
            expected = functional.grid_sample(both, grid, align_corners=True)
            torch.testing.assert_close(crops[b, k], expected[0], atol=1e-5, rtol=0)
    some = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    scenes = (WindowScene(shared, windows, on) for on in (some, torch.ones(2, 3)))
    codes, every = (encoder(shared, own, windows, scene) for scene in scenes)
    assert not codes[[1, 5]].any()
    torch.testing.assert_close(codes[[0, 2, 3, 4]], every[[0, 2, 3, 4]])


def test_the_box_of_mass_leaves_stray_pixels_out() -> None:
    mass = torch.zeros(20, 40)
    mass[5:11, 8:28] = 1.0  # rows 5..10, columns 8..27
    mass[19, 39] = 1.0  # less than a hundredth of it
    x, y, wide, high = box_of(mass).tolist()
    assert math.isclose(x, (8 + 27) / 39 - 1, abs_tol=1e-6)
    assert math.isclose(y, (5 + 10) / 19 - 1, abs_tol=1e-6)
    assert math.isclose(math.exp(wide), 20 / 40, abs_tol=1e-6)
    assert math.isclose(math.exp(high), 6 / 20, abs_tol=1e-6)
