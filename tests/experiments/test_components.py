"""Components by the sigmoid of raw masks: against the decoder's own logits, and where there are none."""

from __future__ import annotations

import numpy as np
import torch

from scenewise.config import build
from scenewise.data import SOURCES
from scenewise.experiments.components import component_figure, images_of, raw_masks
from scenewise.models.contract import MODELS


def tiny(name, **settings):
    torch.manual_seed(0)
    kind = MODELS.get(name)
    return kind(build(kind.config_class, {**kind.presets["tiny"], **settings}, name)).eval()


def test_raw_masks_are_what_the_softmax_is_taken_of():
    model = tiny("iodine")
    latents = torch.randn(2, 3, model.config.latent)
    raw = raw_masks(model, latents)
    masks, _ = model.decode(latents)
    assert torch.allclose(raw.logit().softmax(1), masks, atol=1e-5)
    assert float((raw.sum(1) - 1).abs().max()) > 0.01  # slots are not compared


def test_masks_that_are_not_drawn_alone_have_no_raw_ones():
    genesis, provide, mulmon = tiny("genesis"), tiny("provide"), tiny("mulmon")
    for model in (genesis, provide, mulmon):
        assert raw_masks(model, torch.randn(1, 3, 8)) is None


def test_a_figure_has_a_row_for_each_image():
    source, model = SOURCES.get("multi-dsprites")("test", size=16), tiny("iodine")
    images = images_of(model, source, 2)
    assert images.frames.shape == (2, 1, 3, 16, 16)
    one, two = (component_figure("title", model, part) for part in (images_of(model, source, 1), images))
    assert one.dtype == np.uint8
    assert two.shape[0] > one.shape[0]
    assert two.shape[1:] == one.shape[1:]


def test_a_scene_of_fewer_views_gives_those_that_it_has():
    source = SOURCES.get("cle-mv")("test", size=16, frames=2)
    images = images_of(tiny("mulmon"), source, 4)
    assert images.frames.shape == (2, 1, 3, 16, 16)
    assert images.part.masks.shape[:2] == (2, 1)
