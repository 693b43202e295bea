import math
import pickle

import numpy as np
import pytest
import torch

from scenewise import metrics
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


def test_options_reach_the_function():
    labels, ids, _, _ = videos(3, 1)
    metric = AdjustedRandIndex(foreground=True, empty="one", background_ids=(0, 2))
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


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # of one that was not updated
def test_reset_forgets_and_nothing_is_nan():
    labels, ids, _, _ = videos(1, 3)
    metric = AdjustedRandIndex()
    metric.update(labels, ids)
    metric.reset()
    blank = torch.zeros(1, 2, 4, 4, dtype=torch.int64)
    foreground = AdjustedRandIndex(foreground=True)
    foreground.update(blank, blank)
    for empty in (metric, foreground):
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


CLASSES = {
    metrics.AdjustedRandIndex: (metrics.adjusted_rand_index, "labels", "ids"),
    metrics.MeanIntersectionOverUnion: (metrics.mean_iou, "labels", "ids"),
    metrics.SegmentationCovering: (metrics.segmentation_covering, "labels", "ids"),
    metrics.Confidence: (metrics.confidence, "masks", "ids"),
    metrics.MeanSquaredError: (metrics.squared_error, "images", "frames"),
    metrics.BinaryCrossEntropy: (metrics.binary_cross_entropy, "images", "frames"),
    metrics.SimilarPairs: (metrics.similar_pairs, "latents", "labels"),
}


@pytest.mark.parametrize("metric", CLASSES, ids=lambda metric: metric.__name__)
def test_every_class_is_the_mean_of_its_function_over_all_frames(metric):
    labels, ids, images, frames = videos(5, 6)
    random = np.random.default_rng(7)
    masks = torch.from_numpy(random.dirichlet(np.ones(4), (5, 4, 6, 6))).movedim(-1, 2).unsqueeze(3)
    arrays = {"labels": labels, "ids": ids, "images": images, "frames": frames, "masks": masks}
    arrays["latents"] = torch.from_numpy(random.normal(size=(5, 4, 4, 2)))
    function, *names = CLASSES[metric]
    scores = function(*(arrays[name] for name in names))
    each = np.asarray(scores if isinstance(scores, np.ndarray) else scores.each, float)
    counted = metric()
    for share in (slice(0, 1), slice(1, 5)):
        counted.update(*(arrays[name][share] for name in names))
    assert counted.compute().item() == pytest.approx(np.nanmean(each), rel=1e-12)
    assert counted.empty.item() == np.isnan(each).sum()
    assert pickle.loads(pickle.dumps(counted)).compute() == counted.compute()
    filled = metric(empty="one")
    filled.update(*(arrays[name] for name in names))
    assert filled.compute().item() == pytest.approx(np.where(np.isnan(each), 1.0, each).mean(), rel=1e-12)


def test_any_function_that_scores_frames_becomes_a_class():
    def brightness(frames, channel=0):
        return frames.numpy()[..., channel, :, :].mean((-2, -1))

    metric = metrics.metric_of(brightness, channel=2, higher_is_better=True)
    assert (metric.__name__, metric.higher_is_better) == ("brightness", True)
    frames = videos(3, 8)[3]
    for options, channel in (({}, 2), ({"channel": 1}, 1)):
        mean = metric(**options)
        mean.update(frames)
        assert mean.compute().item() == pytest.approx(frames[:, :, channel].mean().item(), rel=1e-6)
    with pytest.raises(InputError, match=r"chanel: is not an option of brightness\. Did you mean 'channel'"):
        metrics.metric_of(brightness, chanel=2)
    with pytest.raises(InputError, match=r"chanel: is not an option of brightness.*Did you mean 'channel'"):
        metric(chanel=2)
    with pytest.raises(InputError, match="empty: is 'zero'; allowed: exclude, one"):
        metric(empty="zero")
