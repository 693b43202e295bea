"""Colours as they are displayed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")
from scenewise.data.generated.scenes3d.shader import encode


def test_display_values_follow_the_srgb_curve():
    np.testing.assert_allclose(encode(np.float32([0, 0.2140, 1])), [0, 127.5, 255], atol=0.3)
    assert encode(np.float32([-1, 9])).tolist() == [0, 255]
