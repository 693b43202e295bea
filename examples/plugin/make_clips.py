"""Videos to try the example with: `clips/` and `clip.mp4`, two squares in random colours over a dark ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scenewise.media import VideoWriter

SIZE, SIDE, FRAMES = 16, 5, 3
VIDEOS = {"train": 512, "validation": 16, "test": 32}


def squares(videos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frames, uint8, shape (N, T, H, W, 3), and ids, shape (N, T, H, W): 0 is the ground, 1 lies behind 2."""
    rng = np.random.default_rng(seed)
    frames = np.full((videos, FRAMES, SIZE, SIZE, 3), 20, np.uint8)
    ids = np.zeros(frames.shape[:4], np.int64)
    for video in range(videos):
        for number in (1, 2):
            x, y = rng.integers(0, SIZE - SIDE - FRAMES, 2)
            colour = rng.integers(80, 256, 3)
            for t in range(FRAMES):
                place = (video, t, slice(y, y + SIDE), slice(x + t, x + t + SIDE))  # one pixel to the right each frame
                frames[place], ids[place] = colour, number
    return frames, ids


if __name__ == "__main__":
    Path("clips").mkdir(exist_ok=True)
    for seed, (split, videos) in enumerate(VIDEOS.items()):
        frames, ids = squares(videos, seed)
        np.savez_compressed(f"clips/{split}.npz", frames=frames, ids=ids)
    with VideoWriter("clip.mp4", (SIZE, SIZE), 10) as writer:
        for frame in frames[0]:
            writer.write(frame)
