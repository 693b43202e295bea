import math

import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.metrics import AdjustedRandIndex, MeanSquaredError, adjusted_rand_index, mse


def videos(number, seed):
    """Labels, ids, reconstruction and frames; the first frame of every other video has no foreground."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, 3, (number, 4, 6, 6))
    ids[::2, 0] = 0
    labels = np.where(random.random(ids.shape) < 0.7, ids, 3)
    images = random.random((2, number, 4, 3, 6, 6)).astype(np.float32)
    return tuple(torch.from_numpy(a) for a in (labels, ids, *images))


@pytest.mark.parametrize("scope", ["frame", "video"])
@pytest.mark.parametrize("foreground", [False, True])
def test_uneven_batches_give_the_value_of_the_whole(scope, foreground):
    labels, ids, _, _ = videos(5, 0)
    metric = AdjustedRandIndex(foreground=foreground, scope=scope)
    metric.update(labels[:4], ids[:4])
    metric.update(labels[4:], ids[4:])
    expected = adjusted_rand_index(labels, ids, foreground=foreground, scope=scope)
    assert metric.compute().item() == pytest.approx(expected.mean, abs=1e-12)
    assert metric.empty.item() == expected.empty == (3 if foreground and scope == "frame" else 0)


def test_flags_reach_the_measure():
    labels, ids, _, _ = videos(3, 1)
    metric = AdjustedRandIndex(foreground=True, empty_as="one", background_ids=(0, 2))
    metric.update(labels, ids)
    expected = adjusted_rand_index(labels, ids, foreground=True, empty="one", background_ids=(0, 2)).mean
    assert metric.compute().item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("reduction", ["element", "vector", "sum"])
def test_squared_error_of_uneven_batches(reduction):
    _, _, guess, frames = videos(5, 2)
    metric = MeanSquaredError(reduction=reduction)
    metric.update(guess[:1], frames[:1])
    metric.update(guess[1:], frames[1:])
    assert metric.compute().item() == pytest.approx(mse(guess, frames, reduction))


def test_reset_forgets_and_nothing_is_nan():
    labels, ids, _, _ = videos(1, 3)
    metric = AdjustedRandIndex()
    metric.update(labels, ids)
    metric.reset()
    blank = torch.zeros(1, 2, 4, 4, dtype=torch.int64)
    foreground = AdjustedRandIndex(foreground=True)
    foreground.update(blank, blank)
    for empty in (metric, foreground):
        empty._update_count = 1  # only silences the warning about computing before updating
        assert math.isnan(empty.compute().item())


def test_states_add_up_over_processes():
    for metric in (AdjustedRandIndex(), MeanSquaredError()):
        assert metric._reductions
        for reduce in metric._reductions.values():
            assert reduce(torch.tensor([2, 3])).item() == 5


def test_half_precision_keeps_sums_exact():
    _, _, guess, frames = videos(3, 5)
    metric = MeanSquaredError().half()
    metric.update(guess, frames)
    assert metric.compute().item() == pytest.approx(mse(guess, frames), rel=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="labels: must be integers"):
        AdjustedRandIndex().update(torch.rand(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))


def _work(rank, folder):
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    share = slice(0, 1) if rank == 0 else slice(1, 5)  # a mean of the processes' means would be wrong
    labels, ids, guess, frames = (a[share] for a in videos(5, 4))
    ari, error = AdjustedRandIndex(foreground=True), MeanSquaredError()
    ari.update(labels, ids)
    error.update(guess, frames)
    torch.save((ari.compute(), error.compute()), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_two_processes_give_the_value_of_one(tmp_path):
    torch.multiprocessing.spawn(_work, args=(str(tmp_path),), nprocs=2)
    labels, ids, guess, frames = videos(5, 4)
    expected = adjusted_rand_index(labels, ids, foreground=True).mean, mse(guess, frames)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert [value.item() for value in found] == pytest.approx(expected, abs=1e-12)
