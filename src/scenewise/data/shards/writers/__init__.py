"""Writers of the layouts that other programs read."""
