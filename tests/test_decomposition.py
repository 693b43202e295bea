"""One result object: frames of it, parts joined, positions of slots where a model says them."""

from dataclasses import replace

import torch

from scenewise.decomposition import Decomposition


def decomposition(frames: int = 3, positions: bool = True) -> Decomposition:
    generator = torch.Generator().manual_seed(frames)
    masks = torch.rand(2, frames, 4, 1, 5, 6, generator=generator).softmax(2)
    appearance, latent = torch.rand(2, frames, 4, 3, 5, 6, generator=generator), torch.rand(2, frames, 4, 7)
    places = torch.rand(2, frames, 4, 2, generator=generator) if positions else None
    return Decomposition(masks, appearance, *[latent] * 4, *[torch.rand(2, frames)] * 2, places)


def test_frames_of_it_join_to_the_whole() -> None:
    for positions in (True, False):
        whole = decomposition(positions=positions)
        again = Decomposition.join([whole.frame(0), whole.frame(1), whole.frame(2)])
        assert torch.equal(again.masks, whole.masks)
        assert torch.equal(again.kl, whole.kl)
        if whole.positions is None:
            assert again.positions is None
        else:
            assert torch.equal(again.positions, whole.positions)
            assert torch.equal(whole.frame(2).positions, whole.positions[:, 2:3])


def test_every_tensor_is_mapped_and_what_is_not_said_stays_unsaid() -> None:
    whole = decomposition()
    doubled = whole.map(lambda tensor: 2 * tensor)
    for name in ("masks", "appearance", "prior_log_variance", "log_likelihood", "positions"):
        assert torch.equal(getattr(doubled, name), 2 * getattr(whole, name))
    assert decomposition(positions=False).map(torch.zeros_like).positions is None


def test_reconstruction_and_labels_are_those_of_the_masks() -> None:
    whole = decomposition()
    by_hand = sum(whole.masks[:, :, k] * whole.appearance[:, :, k] for k in range(whole.slots))
    torch.testing.assert_close(whole.reconstruction, by_hand)
    owner = whole.masks[1, 2, :, 0, 4, 3].tolist()
    assert int(whole.labels[1, 2, 4, 3]) == owner.index(max(owner))


def test_pixels_belong_to_the_slot_that_explains_them_unless_masks_are_asked_for() -> None:
    whole = decomposition()
    assert torch.equal(whole.labelled("responsibility").labels, whole.masks[:, :, :, 0].argmax(2))
    seen = replace(whole, responsibilities=whole.masks.flip(2))
    assert torch.equal(seen.labels, whole.masks.flip(2)[:, :, :, 0].argmax(2))
    assert torch.equal(seen.labelled("responsibility").labels, seen.labels)
    assert torch.equal(seen.labelled("masks").labels, whole.masks[:, :, :, 0].argmax(2))
