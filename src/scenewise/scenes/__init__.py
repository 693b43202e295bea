"""Scenes that a model draws: from viewpoints after a few views of them, or new ones from its prior."""
