"""Untrained models and small videos to look closer at."""

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.decompose import Decomposer, open_clip
from scenewise.explore import VideoExploration
from scenewise.models import MODELS


def untrained(name, seed=0, **settings):
    torch.manual_seed(seed)
    kind = MODELS.get(name)
    return Decomposer(kind(build(kind.config_class, {**kind.presets["tiny"], **settings}, "tiny")), name=name)


@pytest.fixture
def explore():
    """Explore a random video under an untrained model of a kind."""

    def make(name, frames=6, request=None, **settings):
        decomposer = untrained(name, **settings)
        images = np.random.default_rng(1).integers(0, 256, (frames, *decomposer.size, decomposer.frame_shape[0]))
        clip = open_clip(images.astype(np.uint8), decomposer.frame_shape)
        return VideoExploration(decomposer, clip, request)

    return make
