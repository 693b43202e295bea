"""Probability of slots: Gaussians, spatial mixtures, the refinement step."""
