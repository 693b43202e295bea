"""Flat sprites: still, and moving."""
