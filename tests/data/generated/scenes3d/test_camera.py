"""Cameras: points, pixels and rays."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")
from scenewise.data.generated.scenes3d import clevr_world as world


def test_points_project_to_the_pixel_whose_ray_leads_to_them():
    camera = world.cropped_camera(world.CAMERA, 48)
    rays = camera.rays()
    depths = np.linspace(1, 20, len(rays))
    shown = camera.project(np.asarray(world.CAMERA) + rays * depths[:, None])
    rows, columns = np.mgrid[:48, :48] + 0.5
    np.testing.assert_allclose(shown[:, 0], columns.reshape(-1), atol=1e-9)
    np.testing.assert_allclose(shown[:, 1], rows.reshape(-1), atol=1e-9)
    np.testing.assert_allclose(shown[:, 2], depths)
    assert camera.shows(np.asarray(world.CAMERA) + rays).all()
    assert not camera.shows(np.asarray(world.CAMERA) - rays).any()


def test_the_camera_agrees_with_a_published_projection():
    # An object of a scene file of the public generator: (1.627, 2.285, 0.7) at pixel (251, 95), depth 10.76. The jitter
    # of that camera is unknown and at most half a unit.
    camera = world.full_camera(world.CAMERA, (240, 320))
    x, y, depth = camera.project(np.array([[1.627432, 2.2852376, 0.7]]))[0]
    assert abs(x - 251) < 12
    assert abs(y - 95) < 12
    assert abs(depth - 10.764) < 0.9


def test_finer_rays_lie_around_the_centre_ray():
    camera = world.cropped_camera(world.CAMERA, 32)
    pixels = np.array([0, 100, 1023])
    finer = camera.finer_rays(pixels).reshape(3, 4, 3)
    np.testing.assert_allclose(finer.mean(1), camera.rays()[pixels], atol=1e-12)
