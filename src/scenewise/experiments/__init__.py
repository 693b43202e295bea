"""Recipes and the papers' tables as runs that can be repeated."""
