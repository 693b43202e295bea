"""One picture for many videos: what stands still all through one of them is not in it."""

from types import SimpleNamespace

import numpy as np
import pytest

from scenewise.data.contract import Facts, Sample, Source
from scenewise.data.footage.shared import shared_picture
from scenewise.data.footage.source import FootageConfig, FootageSource
from scenewise.errors import InputError
from scenewise.training import recipes
from scenewise.training.plan import make_plan

HEIGHT, WIDTH, FRAMES = 24, 40, 6


def _empty() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([90 + columns, 100 + rows, np.where(rows < 10, 80, 140)]).astype(np.float64)


class Tables(Source):
    """Videos of one table under lamps of their own; on each lies a box that nobody moves."""

    config_class = SimpleNamespace

    def __init__(self, count: int, cameras: bool = False) -> None:
        self.count, self.cameras = count, cameras
        self.facts = Facts(channels=3, size=(HEIGHT, WIDTH), frames=FRAMES, max_objects=1, origin="tables")

    def __len__(self) -> int:
        return self.count

    def fingerprint(self) -> str:
        return f"tables-{self.count}-{self.cameras}"

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        rng = np.random.default_rng(index)
        picture = rng.uniform(0, 255, (3, HEIGHT, WIDTH)) if self.cameras else _empty() * rng.uniform(0.9, 1.1)
        row, column = rng.integers(0, HEIGHT - 8), rng.integers(0, WIDTH - 8)
        picture[:, row : row + 8, column : column + 8] = np.array([220, 20, 30])[:, None, None]
        shown = np.repeat(picture[None], FRAMES, 0)[start : start + (frames or FRAMES)]
        return Sample(shown.round().clip(0, 255).astype(np.uint8), np.zeros((len(shown), HEIGHT, WIDTH), np.int64), {})


def test_what_stands_still_in_each_video_is_not_in_the_picture_of_all():
    source = Tables(200)
    picture = shared_picture(source, 60)
    assert picture.shape == (3, HEIGHT, WIDTH)
    assert picture.dtype == np.uint8
    gain = picture.mean() / _empty().mean()
    assert np.abs(picture - gain * _empty()).max() < 6
    first = source.sample(0).frames
    assert np.abs(np.median(first, 0) - gain * _empty()).max() > 60, "its own picture holds the box"
    assert shared_picture(source, 60) is picture, "made once"


def test_too_few_videos_and_several_cameras_are_refused():
    with pytest.raises(InputError, match="found 12"):
        shared_picture(Tables(12))
    with pytest.raises(InputError, match="several cameras"):
        shared_picture(Tables(40, cameras=True))


def test_files_of_one_camera_share_a_picture_where_footage_asks_for_it(tmp_path):
    source, files = Tables(30), []
    for index in range(30):
        files.append(str(tmp_path / f"{index}.npy"))
        np.save(files[-1], np.repeat(source.sample(index).frames.transpose(0, 2, 3, 1), 4, 0))
    settings = {"files": tuple(files), "size": None, "layout": "THWC", "clip_length": 2, "cache": str(tmp_path)}
    own, shared = (FootageSource(FootageConfig(background=kind, **settings)) for kind in ("emptiest", "shared"))
    wanted = _empty() * shared.background(0).mean() / _empty().mean()
    assert np.abs(shared.background(0) - wanted).max() < 8
    assert np.abs(own.background(0) - wanted).max() > 60
    np.testing.assert_array_equal(shared.background(0), shared.background(len(shared) - 1))


WORDS = ["model.name=provide-windows", "model.preset=tiny", "data.source=balls-colour", "data.settings.size=16"]


def test_a_plan_keeps_the_picture_with_the_model(monkeypatch):
    recipe = recipes.load("provide-tiny", [*WORDS, "training.picture.videos=20"])
    plan = make_plan(recipe)
    seen = []
    picture = np.arange(3 * 16 * 16, dtype=np.uint8).reshape(3, 16, 16)
    monkeypatch.setattr("scenewise.training.plan.shared_picture", lambda *args: seen.append(args) or picture)
    model = plan.make_model()
    assert seen == [(plan.train, 20)]
    np.testing.assert_allclose(model.picture, picture / 255, rtol=1e-6)


def test_a_model_without_a_picture_is_given_none():
    recipe = recipes.load("provide-tiny", ["training.picture.videos=20"])
    with pytest.raises(InputError, match=r"training\.picture.*background picture"):
        make_plan(recipe)
