"""The LDS prior against the numbers of its specification."""

import math

import pytest
import torch

from scenewise.variational.duplicates import DuplicateSettings, duplicate_log_prior
from scenewise.variational.likelihood import masked_log_likelihood


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


def test_lengths_and_order_of_slots_change_nothing() -> None:
    z = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([0.1, 1, 2, 5, 30]).view(1, 5, 1)
    torch.testing.assert_close(duplicate_log_prior(z * lengths), duplicate_log_prior(z))
    torch.testing.assert_close(duplicate_log_prior(z[:, [4, 2, 0, 1, 3]]), duplicate_log_prior(z))


def test_more_slots_than_dimensions_reach_the_optimum_of_the_specification_only() -> None:
    """Mean squared cosine (K / D - 1) / (K - 1): three directions 120 degrees apart in a plane."""
    angles = torch.tensor([0.0, 2 * math.pi / 3, 4 * math.pi / 3])
    z = torch.stack([angles.cos(), angles.sin()], -1).unsqueeze(0)
    expected = 6 * (-math.log(0.1) - 0.5 * math.log(2 * math.pi) - 50 * (3 / 2 - 1) / 2)
    assert duplicate_log_prior(z).item() == pytest.approx(expected, rel=1e-5)


def test_settings_choose_what_it_is_put_on_and_how_wide_it_is() -> None:
    sample, mean = torch.eye(3).unsqueeze(0), torch.ones(1, 3, 3)
    assert DuplicateSettings().loss(sample, mean).item() == pytest.approx(-duplicate_log_prior(sample).item())
    on_mean = DuplicateSettings(on="mean", sigma=10.0).loss(sample, mean).item()
    assert on_mean == pytest.approx(-6 * (-math.log(10) - 0.5 * math.log(2 * math.pi) - 0.005), rel=1e-5)


def test_optimising_it_drives_slots_apart() -> None:
    z = (torch.ones(1, 3, 8) + 0.1 * torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        (-duplicate_log_prior(z)).sum().backward()
        optimiser.step()
    assert duplicate_log_prior(z).item() > 8


@pytest.mark.parametrize(
    ("side", "sigma", "nats", "share"),
    [(64, 0.1, 204_800, 1.0), (32, 0.15, 22_756, 0.111), (32, 0.2, 12_800, 0.0625), (32, 0.3, 5_689, 0.0278)],
)
def test_what_a_unit_of_squared_error_counts_by_pixels_and_sigma(side, sigma, nats, share) -> None:
    """The prior weighs as much against the likelihood as in the papers at that share of their weight (docs)."""
    error = 0.01
    frame, drawn = torch.zeros(1, 3, side, side), torch.full((1, 1, 3, side, side), error)
    mask, sigmas = torch.zeros(1, 1, 1, side, side), torch.tensor([sigma])
    lost = [masked_log_likelihood(frame, x, mask, sigmas, "pixel") for x in (torch.zeros_like(drawn), drawn)]
    counted = (lost[0] - lost[1]).item() / (3 * error**2)  # squares summed over channels, mean over pixels
    assert counted == pytest.approx(nats, rel=1e-2)
    assert counted / 204_800 == pytest.approx(share, rel=1e-2)
