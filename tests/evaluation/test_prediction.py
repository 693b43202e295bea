"""The protocol `prediction`: what is observed, what is scored, against models that know the answer (metrics.md 1.5)."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data.contract import Facts, Sample, Source
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.evaluation.evaluate import evaluate
from scenewise.evaluation.prediction import forecast
from scenewise.evaluation.request import EvaluationRequest
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.rnem import Rnem, RnemConfig


class Walk(Source):
    """One white square that moves one pixel to the right every frame, above a resting one."""

    def __init__(self, frames: int = 32) -> None:
        self.facts = Facts(channels=1, size=(16, 48), frames=frames, max_objects=2, binary=True, origin="a walk")

    def __len__(self) -> int:
        return 3

    def fingerprint(self) -> str:
        return "walk"

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        ids = np.stack([ids_of(t) for t in range(int(self.facts.frames or 0))])[start:][:frames]
        return Sample(((ids > 0) * 255).astype(np.uint8)[:, None], ids)


def ids_of(t: int) -> np.ndarray:
    ids = np.zeros((16, 48), np.int64)
    ids[2:6, t : t + 4], ids[10:14, 2:6] = 1, 2
    return ids


class Knowing(Rnem):
    """Knows where the squares are at every frame, but predicts them where they were `late` frames ago."""

    def __init__(self, late: int = 0) -> None:
        super().__init__(build(RnemConfig, {**Rnem.presets["tiny"], "size": [16, 48]}, "test"))
        self.late, self.seen = late, list[Any]()

    def explain_frame(self, frame, state, refinements=None):  # type: ignore[no-untyped-def]
        self.seen.append(int(state["frame"]))
        return shown(len(frame), int(state["frame"])), {**state, "frame": state["frame"] + 1}

    def predict(self, state, steps):  # type: ignore[no-untyped-def]
        first, batch = int(state["frame"]), len(state["psi"])
        parts = [shown(batch, max(0, first + s - self.late)) for s in range(steps)]
        return Decomposition.join(parts), {**state, "frame": state["frame"] + steps}


class KnowingWhole(Knowing):
    """The same, but looks at all frames together."""

    window = 5

    def step(self, frames, state, refinements=None):  # type: ignore[no-untyped-def]
        state = {"psi": frames[:, 0], "frame": torch.tensor(frames.shape[1])}
        self.seen.append(frames.shape[1])
        return Decomposition.join([shown(len(frames), t) for t in range(frames.shape[1])]), state


def shown(batch: int, t: int) -> Decomposition:
    ids = torch.from_numpy(ids_of(t))
    masks = torch.stack([ids == k for k in range(3)]).float()[None, None, :, None].expand(batch, 1, 3, 1, 16, 48)
    white = torch.tensor([0.0, 1.0, 1.0]).view(1, 1, 3, 1, 1, 1).expand_as(masks)
    nothing = torch.zeros(batch, 1, 3, 1)
    return Decomposition(masks, white, *(nothing,) * 4, *(torch.zeros(batch, 1),) * 2)


def rows(model: Rnem, source: Source | None = None, **settings: Any) -> dict[str, dict[str, Any]]:
    found = evaluate(model.eval(), source or Walk(), ["prediction"], videos=2, **settings)
    return {row["metric"]: row for row in found}


def test_who_knows_the_future_scores_one_and_standing_still_less() -> None:
    model = Knowing()
    found = rows(model)
    assert model.seen == list(range(20))
    for j in (3, 5, 7, 10):
        assert found[f"ARI first {j}"]["mean"] == found[f"F-ARI first {j}"]["mean"] == 1
        assert found[f"MSE first {j}"]["mean"] == 0
        # after s <= 4 frames 2 s of the columns of four pixels differ, then all eight
        wrong = np.mean([2 * min(s, 4) * 4 for s in range(1, j + 1)]) / (16 * 48)
        assert found[f"MSE first {j} of last frame"]["mean"] == pytest.approx(wrong, rel=1e-4)
        assert found[f"ARI first {j} of last frame"]["mean"] < 0.99
    assert found["F-ARI observed"]["mean"] == 1
    assert found["ARI first 3"]["videos"] == 2
    assert len(found["ARI first 3"]["each"][0]) == 2


def test_a_model_that_looks_at_whole_clips_is_scored_alike() -> None:
    one, whole = Knowing(late=2), KnowingWhole(late=2)
    assert rows(whole) == rows(one)
    assert whole.seen == [20]


def test_scores_are_kept_frame_by_frame() -> None:
    model = Knowing(late=2)
    request = EvaluationRequest(model.eval(), Walk(), 3, 30, (0,), None, None, 2, lambda _: None)
    found = forecast(request, 0)
    assert found.observed == 20
    curve, copies = (scores["MSE"].mean(0) for scores in (found.model, found.copies))
    np.testing.assert_allclose(curve, [0] * 20 + [4 * 4 / (16 * 48)] * 10, rtol=1e-6)
    assert copies.shape == (10,)
    assert copies[0] < curve[20] == pytest.approx(copies[1])


def test_short_videos_are_observed_for_less() -> None:
    model = Knowing()
    rows(model, Walk(14))
    assert model.seen == list(range(4))
    with pytest.raises(InputError, match="at least 11"):
        rows(model, Walk(10))


class Moving(Walk):
    """The walk, which says where its squares are."""

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        drawn = super().sample(index, start, frames)
        centres = np.array([[[t + 1.5, 3.5], [3.5, 11.5]] for t in range(start, start + len(drawn.frames))])
        return Sample(drawn.frames, drawn.ids, {"positions": centres})


class Returning(Knowing):
    """Knows the future up to a frame, and then goes back."""

    def predict(self, state, steps):  # type: ignore[no-untyped-def]
        first, batch = int(state["frame"]), len(state["psi"])
        turn = self.late
        parts = [shown(batch, t if t <= turn else 2 * turn - t) for t in range(first, first + steps)]
        return Decomposition.join(parts), {**state, "frame": state["frame"] + steps}


def test_velocities_are_compared_after_ten_frames() -> None:
    model = Knowing()
    found = rows(model, Moving())
    assert model.seen == [*range(20), *range(10)]
    assert all(found[f"velocity cosine {j}"]["mean"] == 1 for j in range(1, 6))
    assert found["velocity cosine first 5"]["mean"] == 1
    assert found["speed error first 5"]["mean"] == 0
    assert found["velocities counted"]["mean"] == 0.5  # one of two squares rests
    assert len(found["velocity cosine first 5"]["each"][0]) == 2


def test_a_slot_that_turns_back_has_the_opposite_velocity() -> None:
    """Frame 11, the second predicted, is the last it knows: ways over two frames are 2, 2, 0, -2 and -2 pixels."""
    model = Returning(late=11)
    found = rows(model, Moving(20))
    assert model.seen == list(range(10))  # ten observed frames anyway are looked at once
    assert [found[f"velocity cosine {j}"]["mean"] for j in range(1, 6)] == [1, 1, None, -1, -1]
    assert found["velocity cosine first 5"]["mean"] == 0
    assert found["velocities counted"]["mean"] == pytest.approx(0.4)


def test_a_slot_that_lags_moves_as_the_object_does_once_it_moves() -> None:
    found = rows(Knowing(late=1), Moving(20))
    assert found["velocity cosine first 5"]["mean"] == 1
    assert found["speed error first 5"]["mean"] == pytest.approx(2 * 0.5 / 5)  # one pixel of two in two frames


class Saying(Knowing):
    """Knows the future, and says that the moving square comes from the right: at column 40 - t for t + 1.5."""

    def explain_frame(self, frame, state, refinements=None):  # type: ignore[no-untyped-def]
        part, state = super().explain_frame(frame, state, refinements)
        return replace(part, positions=self.positions(part)), state

    def predict(self, state, steps):  # type: ignore[no-untyped-def]
        parts, state = super().predict(state, steps)
        return replace(parts, positions=self.positions(parts)), state

    def positions(self, decomposition: Decomposition) -> torch.Tensor:
        columns = torch.arange(48.0)
        drawn = decomposition.masks[:, :, 1, 0].amax(2)  # (B, T, W)
        middle = (drawn * columns).sum(-1) / drawn.sum(-1)
        places = torch.stack([(41.5 - middle) / 48, torch.full_like(middle, 3.5 / 16)], -1)
        nowhere = torch.full_like(places, float("nan"))
        return torch.stack([nowhere, places, nowhere], 2)


def test_velocities_are_told_by_positions_too_where_the_model_says_them() -> None:
    found = rows(Saying(), Moving(20))
    assert found["velocity cosine first 5"]["mean"] == 1
    assert all(found[f"velocity cosine by positions {j}"]["mean"] == -1 for j in range(1, 6))
    assert found["velocity cosine by positions first 5"]["mean"] == -1
    assert found["speed error by positions first 5"]["mean"] == pytest.approx(0, abs=1e-5)
    assert found["velocities counted by positions"]["mean"] == 0.5
    assert not any("by positions" in name for name in rows(Knowing(), Moving(20)))


def test_velocities_need_a_source_that_knows_them_and_fifteen_frames() -> None:
    assert not any("velocity" in name for name in rows(Knowing()))
    assert not any("velocity" in name for name in rows(Knowing(), Moving(14)))


def test_who_does_not_predict_is_told() -> None:
    model = Iodine(build(IodineConfig, {**Iodine.presets["tiny"], "channels": 1}, "test"))
    with pytest.raises(InputError, match="does not predict"):
        evaluate(model.eval(), Walk(), ["prediction"], videos=1)
