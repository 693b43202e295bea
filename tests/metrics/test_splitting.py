"""Objects held by two slots, whatever the integers that hold labels and ids."""

import numpy as np
import pytest

from scenewise.metrics import splits


@pytest.mark.parametrize(("kind", "most"), [(np.uint8, 255), (np.int8, 127), (np.uint16, 65535), (np.int64, 2**40)])
def test_the_largest_id_of_an_integer_type_is_an_object_like_any_other(kind, most):
    """Numpy 2.5 refuses -1 beside unsigned ids, older ones let the largest id wrap round to the background's."""
    ids = np.array([[[0, 0, most, most]], [[0, 0, 1, 1]]]).astype(kind)
    labels = np.array([[[0, 0, 1, 2]], [[0, 3, 1, 1]]], np.uint8)
    segments = splits(labels, ids)
    assert segments.objects.tolist() == [1, 0]
    assert segments.background.tolist() == [False, True]
    assert segments.visible.tolist() == [1, 1]
