"""Videos side by side give what they give one by one, up to rounding."""

import threading

import numpy as np
import pytest

from scenewise.batch.job import Task
from scenewise.batch.together import LockStep, work_together
from scenewise.batch.worker import Worker
from scenewise.decompose import Decomposer, Request, load, open_clip
from scenewise.variational.gaussian import same_noise, seeded_noise

KINDS = ("provide", "iodine", "monet", "genesis", "rnem", "dvip", "seq-iodine")


def videos_of(decomposer: Decomposer, lengths):
    noise = np.random.default_rng(0)
    clips = [noise.integers(0, 256, (length, *decomposer.size, 3)).astype(np.uint8) for length in lengths]
    return [open_clip(clip, decomposer.frame_shape) for clip in clips]


@pytest.mark.parametrize("kind", KINDS)
def test_videos_of_any_lengths_side_by_side(tiny, kind):
    decomposer = load(tiny(kind), "cpu")
    request = Request(seed=3)
    clips = videos_of(decomposer, (2, 4, 3))
    alone = [list(decomposer.stream(clip, request)) for clip in clips]
    together = LockStep(decomposer, request, 3)
    streams = [together.stream(place, clip) for place, clip in enumerate(clips)]

    found = [[] for _ in clips]
    threads = [threading.Thread(target=lambda i=i: found[i].extend(streams[i])) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(frames) for frames in found] == [2, 4, 3]
    for side_by_side, by_itself in zip(found, alone, strict=True):
        for one, other in zip(side_by_side, by_itself, strict=True):
            np.testing.assert_allclose(one.masks, other.masks, atol=2e-3)
            np.testing.assert_allclose(one.mean, other.mean, atol=5e-3, rtol=1e-2)
            assert one.mse == pytest.approx(other.mse, rel=1e-3)


def test_noise_of_each_is_that_of_one_alone():
    alone = seeded_noise((1, 5, 3), 7, 2)
    with same_noise(4):
        together = seeded_noise((4, 5, 3), 7, 2)
    assert (together == alone).all()
    assert not (seeded_noise((4, 5, 3), 7, 2)[1] == alone).all()


def test_one_that_fails_lets_the_others_go_on(job, clips):
    (clips / "b.mp4").write_bytes(b"no video")
    worker = Worker(job)
    tasks = [Task(name, str(clips / name)) for name in ("a.mp4", "b.mp4", "night/d.mp4")]
    outcomes = []
    work_together(worker, tasks, lambda count: None, outcomes.append)
    found = {outcome.name: outcome for outcome in outcomes}
    assert found["b.mp4"].error.startswith("expected an mp4")
    assert [found[name].frames for name in ("a.mp4", "night/d.mp4")] == [3, 7]
