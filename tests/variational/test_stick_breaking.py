"""Masks by stick breaking and the divergence between masks, against plain products and sums."""

import pytest
import torch

from scenewise.variational.stick_breaking import broken_stick, carved, mask_divergence


def by_products(logits: torch.Tensor) -> torch.Tensor:
    """Masks without logarithms, in float64."""
    scope, masks = torch.ones_like(logits[:, 0]).double(), []
    for logit in logits.double().unbind(1):
        masks.append(scope * logit.sigmoid())
        scope = scope * (1 - logit.sigmoid())
    return torch.stack([*masks, scope], 1)


@pytest.mark.parametrize("slots", [2, 3, 11])
def test_masks_are_products_of_what_is_left(slots: int) -> None:
    logits = 3 * torch.randn(2, slots - 1, 1, 4, 5, generator=torch.Generator().manual_seed(slots))
    masks = broken_stick(logits).exp()
    torch.testing.assert_close(masks.double(), by_products(logits), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 1, 4, 5))


def test_drawn_one_by_one_they_are_the_same_and_the_network_sees_the_scope() -> None:
    logits = 3 * torch.randn(2, 4, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    scopes: list[torch.Tensor] = []

    def attend(scope: torch.Tensor) -> torch.Tensor:
        scopes.append(scope)
        return logits[:, len(scopes) - 1]

    found = carved(attend, torch.zeros(2, 1, 4, 5), 5)
    torch.testing.assert_close(found, broken_stick(logits))
    masks = found.exp()
    for k, scope in enumerate(scopes):
        torch.testing.assert_close(scope.exp(), 1 - masks[:, :k].sum(1), rtol=1e-4, atol=1e-5)
    assert len(scopes) == 4


def test_one_slot_has_everything() -> None:
    assert torch.equal(broken_stick(torch.zeros(2, 0, 1, 4, 5)), torch.zeros(2, 1, 1, 4, 5))
    assert torch.equal(carved(lambda scope: scope, torch.zeros(2, 1, 4, 5), 1), torch.zeros(2, 1, 1, 4, 5))


@pytest.mark.parametrize("logit", [200.0, -200.0])
def test_saturated_logits_keep_values_and_gradients_finite(logit: float) -> None:
    logits = torch.full((1, 6, 1, 2, 2), logit, requires_grad=True)
    masks = broken_stick(logits)
    assert masks.isfinite().all()
    torch.testing.assert_close(masks.exp().sum(1), torch.ones(1, 1, 2, 2))
    mask_divergence(masks, torch.zeros(1, 7, 1, 2, 2).log_softmax(1)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_divergence_is_zero_for_equal_masks_and_never_below() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.randn(3, 4, 1, 5, 5, generator=generator).mul(4).log_softmax(1) for _ in range(2))
    torch.testing.assert_close(mask_divergence(one, one), torch.zeros(3), rtol=0, atol=1e-5)
    assert (mask_divergence(one, two) > 0).all()


def test_divergence_agrees_with_torch_and_has_the_attention_first() -> None:
    generator = torch.Generator().manual_seed(1)
    q, p = (torch.randn(2, 3, 1, 4, 4, generator=generator).mul(8).softmax(1) for _ in range(2))
    made = [torch.distributions.Categorical(t.clamp_min(1e-5).movedim(1, -1)) for t in (q, p)]
    expected = torch.distributions.kl_divergence(*made).sum((1, 2, 3))
    torch.testing.assert_close(mask_divergence(q.log(), p.log()), expected, rtol=1e-4, atol=1e-4)


def test_divergence_reaches_both_sides() -> None:
    generator = torch.Generator().manual_seed(2)
    sides = [torch.randn(1, 3, 1, 2, 2, generator=generator).requires_grad_() for _ in range(2)]
    mask_divergence(*(side.log_softmax(1) for side in sides)).sum().backward()
    assert all(side.grad is not None and side.grad.abs().sum() > 0 for side in sides)
