"""A frame's uncertainty is the spread of what the model draws of samples, in the state in which it drew the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.decompose.spread import SAMPLES, SampleSpread
from scenewise.models import MODELS

SIZE = (16, 24)


class Shelf:
    """Draws one number per slot over the whole image; samples are their latents."""

    def decode(self, latents, state):
        self.latents = latents
        masks = torch.full((len(latents), latents.shape[1], 1, *SIZE), 1 / latents.shape[1])
        return masks, latents[..., :3, None, None].expand(-1, -1, -1, *SIZE)


def test_it_is_the_standard_deviation_over_samples():
    shelf, mean = Shelf(), torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    found = SampleSpread(shelf, mean, torch.full_like(mean, -2.0), {}, 0, 7, SIZE)()
    samples = shelf.latents.numpy()[..., :3].mean(1)  # (S, C): slots share every pixel
    assert samples.shape == (SAMPLES, 3)
    expected = np.sqrt(samples.var(0, ddof=1).mean())
    np.testing.assert_allclose(found, np.full(SIZE, expected), rtol=1e-5)
    scale = (shelf.latents - mean).std()
    assert 0.5 < scale / np.exp(-1) < 1.5


def test_frames_do_not_share_their_samples():
    shelf, mean = Shelf(), torch.zeros(2, 4)
    drawn = []
    for seed, index in ((0, 1), (0, 2), (1, 1), (0, 1)):
        SampleSpread(shelf, mean, mean, {}, seed, index, SIZE)()
        drawn.append(shelf.latents)
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:3])
    assert torch.equal(drawn[0], drawn[3])


@pytest.fixture(params=["provide", "provide-windows"])
def decomposer(request):
    kind = MODELS.get(request.param)
    looks = {"budget": {"first_looks": 3}} if request.param == "provide" else {}
    config = build(kind.config_class, kind.presets["tiny"] | looks, "tiny")
    torch.manual_seed(1)
    model = kind(config)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, p[0].numel() ** -0.5)
    return Decomposer(model, name="untrained")


def test_without_variance_samples_are_what_the_frame_was_drawn_from(decomposer):
    """The first frame's last look has an h of the looks before it; windows move to the frame, the wall to its light."""
    model, (channels, height, width) = decomposer.model, decomposer.frame_shape
    images = np.zeros((4, height, width, channels), np.uint8)
    for t, image in enumerate(images):
        image[2:9, 1 + t : 8 + t] = 220
    state, drawn = decomposer.initial_state(seed=3), []
    engine = model.engine
    kind = type(engine)

    def watched(self, context, posterior, *others):
        drawn.append((context.time[0], getattr(context, "scene", None)))
        return kind.decode(engine, context, posterior, *others)

    Watch = type("Watch", (kind,), {"decode": watched})
    model.engine = Watch(**vars(engine))
    moved = []
    for image in images:
        before = state
        _, state = decomposer.step(image, before)
        drawing = model.drawing_state(before, state)
        hidden, scene = drawn[-1]
        torch.testing.assert_close(drawing["hidden"], hidden)
        moved.append(not torch.equal(hidden, before["hidden"]))
        if scene is not None:
            torch.testing.assert_close(drawing["window"], scene.windows)
            torch.testing.assert_close(drawing["on"], scene.on)
    assert moved[0]


def test_windows_are_drawn_where_the_frame_has_them():
    kind = MODELS.get("provide-windows")
    torch.manual_seed(1)
    model = Decomposer(kind(build(kind.config_class, kind.presets["tiny"], "tiny")), name="untrained")
    channels, height, width = model.frame_shape
    image = np.zeros((height, width, channels), np.uint8)
    image[2:9, 3:10] = 220
    before = model.initial_state()
    part, after = model.step(image, before)
    masks, appearance = model.model.decode(part.mean[:, 0], model.model.drawing_state(before, after))
    torch.testing.assert_close(masks, part.masks[:, 0])
    torch.testing.assert_close(appearance, part.appearance[:, 0])
    assert int(after["on"].sum()) > 1
