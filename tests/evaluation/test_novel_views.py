"""The protocol `novel-views`: what is observed, what is scored, against scenes whose answer is known (mulmon.md 6)."""

from typing import Any

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data.contract import Facts, Sample, Source
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.evaluation.evaluate import evaluate
from scenewise.evaluation.novel_views import consistency, rmse, split
from scenewise.models.contract import Renders
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.mulmon import Mulmon, MulmonConfig
from scenewise.variational.gaussian import Gaussian

VIEWS = 10


class Ring(Source):
    """Scenes whose view at v is grey v / 10, with an object whose place is v; `viewpoint` is (v, scene, 0)."""

    facts = Facts(channels=3, size=(16, 16), frames=VIEWS, max_objects=2, origin="a ring")

    def __len__(self) -> int:
        return 3

    def fingerprint(self) -> str:
        return "ring"

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        views = np.arange(VIEWS)[start : None if frames is None else start + frames]
        pictures = np.broadcast_to((views * 20)[:, None, None, None], (len(views), 3, 16, 16)).astype(np.uint8)
        ids = np.stack([ids_of(int(v)) for v in views])
        cameras = np.stack([[v, index, 0.0] for v in views]).astype(np.float32)
        return Sample(pictures.copy(), ids, {"viewpoints": cameras})


def ids_of(view: int) -> np.ndarray:
    ids = np.zeros((16, 16), np.int64)
    ids[view, :8], ids[view, 8:] = 1, 2
    return ids


class Knowing(Mulmon):
    """Draws every view as it is, but for an error of 0.1 in one channel that shrinks with every view observed."""

    def __init__(self) -> None:
        super().__init__(build(MulmonConfig, Mulmon.presets["tiny"], "test"))
        self.asked: list[Any] = []

    def infer(self, frames, viewpoints, slots=None, refinements=None, seed=0, posterior=None):  # type: ignore[no-untyped-def]
        self.asked.append(viewpoints[..., 0].tolist())
        before = 0 if posterior is None else posterior.mean[0, 0, 0]
        seen = torch.zeros(len(frames), 3, 8) + before + frames.shape[1]
        return Gaussian(seen, seen)

    def render(self, posterior, viewpoints, seed=0):  # type: ignore[no-untyped-def]
        error = 0.1 / posterior.mean[0, 0, 0]
        views = viewpoints[..., 0].long()
        labels = torch.from_numpy(np.stack([[ids_of(int(v)) for v in row] for row in views]))
        masks = torch.nn.functional.one_hot(labels, 3).movedim(-1, 2).unsqueeze(3).float()
        appearance = (views * 20 / 255)[:, :, None, None, None, None].expand(-1, -1, 3, 3, 16, 16).clone()
        appearance[:, :, :, 0] += error
        rest = [torch.zeros(len(views), VIEWS)] * 6
        return Decomposition(masks, appearance, *rest)


def scores(model: Any, **options: Any) -> dict[str, float]:
    rows = evaluate(model, Ring(), ["novel-views"], videos=3, batch=2, **options)
    assert {row["videos"] for row in rows} == {3}
    return {row["metric"]: row["mean"] for row in rows}


def test_a_model_that_knows_the_scene_scores_what_it_must() -> None:
    found = scores(Knowing())
    assert found["RMSE"] == pytest.approx(0.1 / 5, rel=1e-4)  # one channel is off: summed, not averaged
    assert found["RMSE observed"] == pytest.approx(0.1 / 5, rel=1e-4)
    for name in ("mIoU", "mIoU observed", "mIoU greedy", "consistency"):
        assert found[name] == pytest.approx(1.0)
    for n in range(1, 7):
        assert found[f"RMSE after {n} view{'s' if n > 1 else ''}"] == pytest.approx(0.1 / n, rel=1e-4)
    assert found["RMSE spread over orders"] == pytest.approx(0, abs=1e-6)


def test_the_baseline_is_the_nearest_observed_view() -> None:
    expected = []
    for scene in range(3):
        order = split(0, scene, VIEWS)
        away = [min(abs(int(v) - int(o)) for o in order[:5]) for v in order[5:]]
        expected.append(np.sqrt(np.mean([3 * (20 * a / 255) ** 2 for a in away])))
    found = scores(Knowing())
    assert found["RMSE of nearest view"] == pytest.approx(np.mean(expected), rel=1e-4)
    assert found["mIoU of nearest view"] == pytest.approx(
        224 / 256 / 3, rel=1e-4
    )  # objects are elsewhere: only background fits


def test_views_are_split_by_seed_and_scene_and_observed_once() -> None:
    model = Knowing()
    scores(model)
    for scene in range(2):  # of the first batch
        observed = model.asked[0][scene]
        assert observed == split(0, scene, VIEWS)[:5].tolist()
        assert len(set(observed)) == 5
    assert not np.array_equal(split(0, 0, VIEWS), split(0, 1, VIEWS))
    assert not np.array_equal(split(0, 0, VIEWS), split(1, 0, VIEWS))
    assert {tuple(sorted(asked[0])) for asked in model.asked[1:4]} == {tuple(sorted(model.asked[0][0]))}


def test_rmse_sums_channels_and_averages_views_before_the_root() -> None:
    images, frames = np.zeros((1, 2, 3, 4, 4)), np.zeros((1, 2, 3, 4, 4))
    images[0, 0] = 0.5  # squared distance 0.75 in one view, 0 in the other
    assert rmse(images, frames)[0] == pytest.approx((0.75 / 2) ** 0.5)


def test_consistency_counts_objects_that_keep_their_slot_in_all_views() -> None:
    ids = np.zeros((1, 3, 2, 4), np.int64)
    ids[:, :, 0, :2], ids[:, :, 1, 2:], ids[:, 2, 0, 3] = 1, 2, 3  # object 3 is seen once only
    labels = ids.copy()
    labels[0, 1][ids[0, 1] == 2] = 1  # object 2 is given the slot of object 1 in one view
    assert consistency(labels, ids)[0] == pytest.approx(1 / 2)
    assert consistency(ids, ids)[0] == 1
    assert np.isnan(consistency(labels * 0, ids * 0)[0])


def test_mulmon_can_be_scored_and_others_cannot() -> None:
    torch.manual_seed(0)
    model = Mulmon(build(MulmonConfig, Mulmon.presets["tiny"], "test")).eval()
    found = scores(model, seeds=(0, 1))
    assert isinstance(model, Renders)
    assert all(np.isfinite(value) for value in found.values())
    assert found["RMSE of nearest view"] > 0
    other = Iodine(build(IodineConfig, Iodine.presets["tiny"], "test")).eval()
    with pytest.raises(InputError, match="does not draw scenes"):
        scores(other)
    with pytest.raises(InputError, match="at least 2 views"):
        scores(model, frames=1)
