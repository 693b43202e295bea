"""Tetrominoes."""
