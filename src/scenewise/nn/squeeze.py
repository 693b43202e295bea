"""Features of a truncated SqueezeNet 1.1, which the public PROVIDE code feeds its refinement network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.errors import InputError


class Fire(nn.Module):
    """Squeeze to a few channels, expand by 1x1 and 3x3 (SqueezeNet)."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, inputs, H, W); return (N, 2 expand, H, W)."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class SqueezeFeatures(nn.Module):
    """The first five modules of SqueezeNet 1.1, frozen, and three trained convolutions (provide.md 13, item 1).

    The pretrained part has torchvision's parameter names (`features.0`, `features.3`, `features.4`), so that its
    published weights can be given to `load_pretrained`; a saved model has them. The frame is up-sampled to
    257 x 257 and the features come back at its own size.
    """

    def __init__(self) -> None:
        super().__init__()
        trunk = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
        self.features = nn.Sequential(*trunk, Fire(64, 16, 64), Fire(128, 16, 64)).requires_grad_(False)
        self.head = nn.Sequential(
            nn.Conv2d(128, 64, 3, padding=1), nn.ELU(), nn.Conv2d(64, 32, 3, padding=1), nn.ELU(),
            nn.Conv2d(32, 16, 3, padding=1), nn.ELU(),
        )  # fmt: skip

    def load_pretrained(self, weights: dict[str, Tensor]) -> None:
        """Take the trunk's weights from a SqueezeNet 1.1 state dict; other entries are ignored.

        Raises:
            InputError: An entry is missing or has another shape.
        """
        current = self.features.state_dict(prefix="features.")
        missing = [k for k, v in current.items() if k not in weights or weights[k].shape != v.shape]
        if missing:
            raise InputError("SqueezeNet weights", f"lack {', '.join(missing)} or have them in another shape.")
        self.features.load_state_dict({k.removeprefix("features."): weights[k] for k in current})

    def forward(self, frame: Tensor) -> Tensor:
        """Take (B, 3, H, W); return (B, 16, H, W)."""
        with torch.no_grad():
            x = self.features(functional.interpolate(frame, size=(257, 257), mode="nearest"))
        x = functional.interpolate(x, size=frame.shape[-2:], mode="nearest") if x.shape[-2:] != frame.shape[-2:] else x
        return self.head(x)
