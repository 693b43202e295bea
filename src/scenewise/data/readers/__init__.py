"""Readers of published sets and of users' folders, one file per set."""
