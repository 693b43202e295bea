"""Digits: on textures, and moving."""
