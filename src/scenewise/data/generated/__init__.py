"""Sources that make their videos when asked for, with exact ground truth, from (seed, split, index)."""
