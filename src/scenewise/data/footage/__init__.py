"""The user's own videos: a source of clips, a report on them before training, and their decoded cache."""
