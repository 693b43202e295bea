"""Images that small models can learn in seconds."""

import pytest
import torch

from scenewise.observation import Observation


@pytest.fixture
def squares() -> Observation:
    """Eight images of 16 x 16 pixels: one square each, in random colours at random places."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(8, 1, 3, 1, 1, generator=generator).expand(-1, -1, -1, 16, 16).clone()
    for image, (y, x) in zip(images, torch.randint(0, 10, (8, 2), generator=generator).tolist(), strict=True):
        image[0, :, y : y + 6, x : x + 6] = torch.rand(3, 1, 1, generator=generator)
    return Observation(images)
