"""The attention U-Net: its table of channels, its bottom map, its norms and its refusals."""

import pytest
import torch
from torch import nn

from scenewise.errors import InputError
from scenewise.nn.unet import AttentionUNet, block_channels, count_blocks

C = 32
TABLE = {
    4: ([C, 2 * C, 2 * C, 2 * C], [4 * C, 4 * C, 4 * C, 2 * C], [2 * C, 2 * C, C, C]),
    5: ([C, C, 2 * C, 2 * C, 2 * C], [4 * C, 4 * C, 4 * C, 2 * C, 2 * C], [2 * C, 2 * C, C, C, C]),
    6: ([C, C, C, 2 * C, 2 * C, 2 * C], [4 * C, 4 * C, 4 * C, 2 * C, 2 * C, 2 * C], [2 * C, 2 * C, C, C, C, C]),
}


@pytest.mark.parametrize(("side", "blocks"), [(32, 4), (64, 5), (128, 6)])
def test_channels_are_those_of_the_table(side: int, blocks: int) -> None:
    with torch.device("meta"):
        net = AttentionUNet(4, C, (side, side))
    down, up_in, up_out = TABLE[blocks]
    assert count_blocks((side, side)) == blocks
    assert [b.convolution.out_channels for b in net.down] == down
    assert [b.convolution.in_channels for b in net.up] == up_in
    assert [b.convolution.out_channels for b in net.up] == up_out
    assert all(b.convolution.bias is None for b in [*net.down, *net.up])
    assert [(linear.in_features, linear.out_features) for linear in net.bottom] == [
        (1024, 128),
        (128, 128),
        (128, 1024),
    ]


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
def test_bottom_map_is_four_by_four(side: int) -> None:
    net, seen = AttentionUNet(2, 2, (side, side)), []
    net.down[-1].register_forward_hook(lambda *args: seen.append(args[2].shape[-2:]))
    assert net(torch.randn(1, 2, side, side)).shape == (1, 1, side, side)
    assert seen == [(4, 4)]


@pytest.mark.parametrize("size", [(35, 35), (64, 48), (4, 4), (96, 96), (64, 128)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"size: .* 4 x 4 .* found"):
        AttentionUNet(4, 8, size)


def naive(net: AttentionUNet, x: torch.Tensor, norm: list[nn.Module]) -> torch.Tensor:
    """The U-Net as the specification writes it, with the given norms in the order of use."""
    norms, skips = iter(norm), []
    for at, block in enumerate(net.down):
        x = torch.relu(next(norms)(block.convolution(x)))
        skips.append(x)
        if at + 1 < len(net.down):
            x = nn.functional.interpolate(x, scale_factor=0.5, mode="nearest")
    shape = x.shape
    x = x.flatten(1)
    for linear in net.bottom:
        x = torch.relu(linear(x))
    x = x.view(shape)
    for at, block in enumerate(net.up):
        x = torch.relu(next(norms)(block.convolution(torch.cat([x, skips[-1 - at]], 1))))
        if at + 1 < len(net.up):
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    return net.output(x)


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_equals_the_specification(norm: str) -> None:
    torch.manual_seed(0)
    net = AttentionUNet(4, 8, (16, 16), norm=norm, groups=4).double()
    x = torch.randn(2, 4, 16, 16).double()
    norms: list[nn.Module] = []
    for block in [*net.down, *net.up]:
        nn.init.normal_(block.norm.weight)
        nn.init.normal_(block.norm.bias)
        width = block.convolution.out_channels
        made = nn.InstanceNorm2d(width, affine=True) if norm == "instance" else nn.GroupNorm(4, width)
        made.load_state_dict(block.norm.state_dict())
        norms.append(made.double())
    torch.testing.assert_close(net(x), naive(net, x, norms))


def test_without_the_last_convolution_it_gives_features() -> None:
    net = AttentionUNet(3, 16, (32, 32), None, norm="group")
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 16, 32, 32)
    with pytest.raises(InputError, match="groups"):
        AttentionUNet(3, 12, (32, 32), None, norm="group")


def test_channels_of_small_nets_follow_the_same_rule() -> None:
    assert block_channels(2, 4) == ([8, 8], [8, 4])
    assert block_channels(3, 4) == ([8, 8, 8], [8, 8, 4])
