import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.metrics import binary_cross_entropy, copy_last_mse, mse, prediction_mse, reconstruction, squared_error


@pytest.fixture
def frames():
    return np.random.default_rng(0).random((3, 4, 3, 5, 6)).astype(np.float32)


@pytest.fixture
def guess():
    return np.random.default_rng(1).random((3, 4, 3, 5, 6)).astype(np.float32)


def test_reductions_are_the_papers(frames, guess):
    squares = (guess.astype(float) - frames) ** 2
    np.testing.assert_allclose(squared_error(guess, frames), squares.mean((2, 3, 4)))
    np.testing.assert_allclose(squared_error(guess, frames, "vector"), squares.sum(2).mean((2, 3)))
    np.testing.assert_allclose(squared_error(guess, frames, "sum"), squares.sum((2, 3, 4)))
    assert mse(guess, frames) == pytest.approx(squares.mean())
    assert mse(guess, frames, "vector") == pytest.approx(3 * squares.mean())


def test_replicated_binary_video_has_the_error_of_one_channel(guess, frames):
    one, binary = guess[:, :, :1], (frames[:, :, :1] > 0.5).astype(np.float32)
    assert mse(one.repeat(3, 2), binary.repeat(3, 2)) == pytest.approx(mse(one, binary))


def test_error_of_float32_frames_is_summed_in_float64():
    frames = np.zeros((1, 1, 3, 256, 256), np.float32)
    guess = np.full_like(frames, 0.1)
    assert mse(guess, frames) == pytest.approx(float(np.float32(0.1)) ** 2, rel=1e-12)


def test_blocks_do_not_change_the_error(frames, guess, monkeypatch):
    whole = squared_error(guess, frames)
    monkeypatch.setattr(reconstruction, "BLOCK_VALUES", 5 * 3 * 5 * 6)
    np.testing.assert_array_equal(squared_error(guess, frames), whole)


def test_torch_tensors_give_the_same(frames, guess):
    assert mse(torch.from_numpy(guess), torch.from_numpy(frames)) == mse(guess, frames)


def test_cross_entropy_is_clipped_and_summed():
    frames = np.array([1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    guess = np.array([0.0, 1.0, 0.5, 0.25]).reshape(1, 1, 2, 2)
    expected = -2 * np.log(1e-4) - np.log(0.5) - np.log(0.75)
    np.testing.assert_allclose(binary_cross_entropy(guess, frames), [expected])


def test_prediction_error_by_horizon(frames, guess):
    found = prediction_mse(guess, frames, observed=1, at=(1, 3, 5))
    errors = squared_error(guess, frames)[:, 1:]
    np.testing.assert_allclose(found.per_horizon, errors.mean(0))
    assert found.cumulative == {1: pytest.approx(errors[:, 0].mean()), 3: pytest.approx(errors.mean())}


def test_copying_the_last_frame_is_the_baseline(frames):
    copied = np.concatenate([frames[:, :2], frames[:, 1:2], frames[:, 1:2]], axis=1)
    expected = prediction_mse(copied, frames, observed=2, reduction="sum", at=(2,))
    found = copy_last_mse(frames, observed=2, reduction="sum", at=(2,))
    np.testing.assert_allclose(found.per_horizon, expected.per_horizon)
    assert found.cumulative == pytest.approx(expected.cumulative)
    assert copy_last_mse(frames[:, :1].repeat(4, 1), observed=1).per_horizon.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g, f: (g[:2], f), "reconstruction: must have the shape of frames"),
        (lambda g, f: (g, f * 255), r"frames: must lie in \[0, 1\].*Divide 8-bit images by 255"),
        (lambda g, f: (g, (f * 255).astype(np.uint8)), "frames: must be floats; found uint8"),
        (lambda g, f: (g * np.nan, f), "reconstruction: holds 1080 values of 1080 that are NaN"),
        (lambda g, f: (g[:0], f[:0]), "frames: hold no pixel"),
    ],
)
def test_bad_input_says_what_is_wrong(frames, guess, change, words):
    with pytest.raises(InputError, match=words):
        mse(*change(guess, frames))


def test_unknown_reduction_and_nothing_observed(frames):
    with pytest.raises(InputError, match=r"reduction: is 'vectors'.*Did you mean 'vector'"):
        mse(frames, frames, "vectors")
    with pytest.raises(InputError, match=r"observed: must lie in \[1, 3\]"):
        copy_last_mse(frames, observed=0)
    with pytest.raises(InputError, match=r"frames: must have shape \(N, T, C, H, W\)"):
        copy_last_mse(frames[0], observed=1)
