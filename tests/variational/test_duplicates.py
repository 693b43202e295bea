"""The LDS prior against the numbers of its specification."""

import pytest
import torch

from scenewise.variational.duplicates import duplicate_log_prior


def test_orthogonal_and_identical_slots() -> None:
    """Seven slots, 42 ordered pairs: +58 where all are orthogonal, -2042 where all are one."""
    assert duplicate_log_prior(torch.eye(7).unsqueeze(0)).item() == pytest.approx(58.1, abs=0.05)
    assert duplicate_log_prior(torch.ones(1, 7, 16)).item() == pytest.approx(-2041.9, abs=0.05)


def test_opposite_vectors_are_punished_like_duplicates() -> None:
    z = torch.randn(1, 1, 8)
    same, opposite = torch.cat([z, z], 1), torch.cat([z, -2 * z], 1)
    torch.testing.assert_close(duplicate_log_prior(same), duplicate_log_prior(opposite))


def test_one_slot_has_no_pairs_and_empty_slots_no_trouble() -> None:
    assert duplicate_log_prior(torch.randn(3, 1, 8)).tolist() == [0, 0, 0]
    z = torch.zeros(1, 3, 8, requires_grad=True)
    duplicate_log_prior(z).sum().backward()
    assert z.grad.isfinite().all()


def test_optimising_it_drives_slots_apart() -> None:
    z = (torch.ones(1, 3, 8) + 0.1 * torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        (-duplicate_log_prior(z)).sum().backward()
        optimiser.step()
    assert duplicate_log_prior(z).item() > 8
