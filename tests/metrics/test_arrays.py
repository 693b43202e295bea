import subprocess
import sys

import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.metrics.arrays import integers, mean, reals


def test_bfloat16_with_a_graph_becomes_numpy():
    tensor = torch.full((2,), 0.5, dtype=torch.bfloat16, requires_grad=True)
    assert reals(tensor, "x").tolist() == [0.5, 0.5]


def test_booleans_are_labels_and_images():
    assert integers(np.array([True, False]), "labels").tolist() == [1, 0]
    assert reals(torch.tensor([True, False]), "x").tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([0, 255], np.uint8), "frames: must be floats; found uint8. Divide 8-bit images by 255"),
        (np.array([0.0, np.nan, np.inf]), "frames: holds 2 values of 3 that are NaN or infinite"),
    ],
)
def test_unusable_images_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        reals(values, "frames")


def test_mean_leaves_nan_out_without_a_warning(recwarn):
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert mean(values) == 2.0
    np.testing.assert_array_equal(mean(values, axis=0), [2.0, np.nan])
    assert np.isnan(mean(np.array([np.nan])))
    assert not recwarn.list


def test_importing_the_metrics_does_not_import_torch():
    code = "import sys, scenewise.metrics, scenewise.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
