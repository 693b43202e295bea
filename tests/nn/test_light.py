"""Light between two pictures: gain and offset, whatever stands in one of them."""

import torch

from scenewise.nn.light import brightening, light_between


def _scene(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(seed)) * 0.6 + 0.1


def test_light_is_recovered_beside_an_object() -> None:
    scene = _scene(0)
    gain, offset = torch.tensor([1.2, 0.9, 1.1]).view(1, 3, 1, 1), torch.tensor([-0.05, 0.04, 0.0]).view(1, 3, 1, 1)
    brighter = scene * gain + offset
    brighter[:, :, 4:10, 5:12] = torch.tensor([0.9, 0.1, 0.5]).view(1, 3, 1, 1)  # a seventh of the picture
    light = light_between(scene, brighter)
    torch.testing.assert_close(light.gain, gain.expand(2, -1, -1, -1), atol=1e-4, rtol=0)
    torch.testing.assert_close(light.offset, offset.expand(2, -1, -1, -1), atol=1e-4, rtol=0)
    outside = torch.ones(20, 30, dtype=torch.bool)
    outside[4:10, 5:12] = False
    torch.testing.assert_close(light.on(scene)[..., outside], brighter[..., outside], atol=1e-4, rtol=0)


def test_a_channel_without_contrast_gets_an_offset_alone() -> None:
    flat = torch.full((1, 3, 20, 30), 0.5)
    light = light_between(flat, flat - 0.1)
    torch.testing.assert_close(light.gain, torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(light.offset, torch.full((1, 3, 1, 1), -0.1))


def test_what_no_lamp_can_do_is_no_light() -> None:
    scene = _scene(1)
    light = light_between(scene, 1 - scene)  # a negative
    torch.testing.assert_close(light.on(scene), scene)


def test_a_change_of_brightness_is_the_same_share_of_all_channels() -> None:
    picture = _scene(2)
    for share, expected in ((-0.2, -0.2), (0.25, 0.25), (-0.9, -0.3), (2.0, 0.3)):
        torch.testing.assert_close(brightening(share * picture, picture), expected * picture)
    other = torch.stack([picture[:, 1], -picture[:, 0], torch.zeros_like(picture[:, 0])], 1)  # across the colour
    torch.testing.assert_close(brightening(0.3 * other, picture), torch.zeros_like(picture), atol=1e-6, rtol=0)
    assert not brightening(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)).any(), "black has no brightness to change"
