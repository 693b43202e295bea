import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import ids_from_masks

masks = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]]])  # (M=2, H=1, W=4)


def test_the_foremost_object_owns_an_overlap_or_nobody_does():
    assert ids_from_masks(masks).tolist() == [[1, 2, 2, 0]]
    assert ids_from_masks(masks, overlap="ignore").tolist() == [[1, -1, 2, 0]]


def test_leading_axes_are_kept_and_no_object_is_background():
    assert ids_from_masks(np.stack([masks, masks[::-1]])).tolist() == [[[1, 2, 2, 0]], [[2, 2, 1, 0]]]
    assert ids_from_masks(masks[:0]).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("given", "overlap", "words"),
    [
        (masks * 0.5, "top", "masks: must be integers"),
        (masks[0], "top", "masks: must have shape"),
        (masks, "tip", "Did you mean 'top'"),
    ],
)
def test_bad_input_is_refused(given, overlap, words):
    with pytest.raises(InputError, match=words):
        ids_from_masks(given, overlap)
