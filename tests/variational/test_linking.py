"""Slots of a model without memory go on with what they showed."""

import numpy as np
import torch

from scenewise.decompose.decomposer import Decomposer
from scenewise.decomposition import Decomposition
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.nn.decoders import DecoderSettings
from scenewise.nn.refiner import EncoderSettings
from scenewise.variational.linking import link


def frame(order: list[int], shift: int = 0, batch: int = 1) -> Decomposition:
    """Return slots that each own a coloured column of a black frame, numbered as `order` says."""
    k = len(order)
    logits = torch.full((batch, 1, k, 1, 8, 8), -9.0)
    appearance = torch.zeros(batch, 1, k, 3, 8, 8)
    for slot, what in enumerate(order):
        logits[:, :, slot, :, :, 2 * what + shift] = 9.0
        appearance[:, :, slot] = (what + 1) / 4
    vectors = torch.tensor(order, dtype=torch.float).expand(batch, 1, k).unsqueeze(-1)
    once = torch.zeros(batch, 1)
    return Decomposition(logits.softmax(2), appearance, vectors, vectors, vectors, vectors, once, once)


def after(order: list[int], decomposition: Decomposition) -> Decomposition:
    """Return a frame as linked to one whose slots are numbered as `order` says."""
    return link(decomposition, link(frame(order), {})[1])[0]


def test_slots_are_put_in_the_order_of_the_frame_before() -> None:
    linked = after([0, 1, 2], frame([2, 0, 1]))
    assert linked.mean[0, 0, :, 0].tolist() == [0, 1, 2]
    torch.testing.assert_close(linked.masks, frame([0, 1, 2]).masks)
    assert linked.log_likelihood.shape == (1, 1)


def test_what_moves_a_little_is_followed() -> None:
    linked = after([0, 1, 2], frame([1, 2, 0], shift=1))
    assert linked.mean[0, 0, :, 0].tolist() == [0, 1, 2]


def test_every_video_of_a_batch_has_its_own_order() -> None:
    shown = [link(frame(order), {})[1]["shown"] for order in ([0, 1, 2], [2, 1, 0])]
    linked, state = link(frame([1, 2, 0], batch=2), {"shown": torch.cat(shown)})
    assert state["order"].tolist() == [[2, 0, 1], [1, 0, 2]]
    assert linked.mean[:, 0, :, 0].tolist() == [[0, 1, 2], [2, 1, 0]]


def test_linking_changes_nothing_but_numbers() -> None:
    torch.manual_seed(0)
    model = Iodine(
        IodineConfig(
            size=(16, 16),
            slots=3,
            refinements=1,
            latent=4,
            decoder=DecoderSettings(channels=8),
            encoder=EncoderSettings(channels=8),
        )
    )
    decomposer = Decomposer(model)
    image = np.random.default_rng(0).random((16, 16, 3), dtype=np.float32)
    first, state = decomposer.step(image)
    second, state = decomposer.step(image, state)
    assert state["shown"].shape == (1, 3, 3, 16, 16)
    torch.testing.assert_close(second.masks.sum(2), torch.ones_like(second.masks[:, :, 0]))
    assert first.masks.shape == second.masks.shape
