"""Scenes in three dimensions with exact truth: MuJoCo casts the rays and moves the bodies, NumPy shades them."""
