"""Features of SqueezeNet."""

import pytest
import torch

from scenewise.errors import InputError
from scenewise.nn.squeeze import SqueezeFeatures


def test_squeeze_features_have_the_published_sizes_and_stay_frozen() -> None:
    net = SqueezeFeatures()
    assert sum(p.numel() for p in net.features.parameters()) == 25_632
    assert sum(p.numel() for p in net.head.parameters()) == 96_880
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 16, 64, 64)
    assert not any(p.requires_grad for p in net.features.parameters())
    weights = {k: torch.ones_like(v) for k, v in net.features.state_dict(prefix="features.").items()}
    net.load_pretrained(weights | {"classifier.1.weight": torch.zeros(1)})
    assert all(bool((p == 1).all()) for p in net.features.parameters())
    with pytest.raises(InputError, match=r"features\.0\.weight"):
        net.load_pretrained({})
