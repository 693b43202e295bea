"""The weights that ship, on videos no model was trained or chosen on."""

import json
import re

import pytest

from scenewise.checkpoint import load_model, shipped
from scenewise.data import SOURCES
from scenewise.evaluation.evaluate import evaluate

FRESH = 4242  # seed of videos that appear nowhere else


def scores(name: str, source: str, videos: int, frames: int, settings: dict | None = None) -> dict:
    loaded = load_model(name)
    data = SOURCES.get(source)(split="test", seed=FRESH, **(settings or {}))
    count = videos if loaded.model.viewpoint_size is None else videos // 2  # ten views each
    rows = evaluate(loaded.model, data, ["provide", "savi"], videos=count, frames=frames)
    return {(row["protocol"], row["metric"]): row["mean"] for row in rows}


@pytest.mark.parametrize("kind", ["colour", "binary"])
def test_shipped_weights_find_the_balls(kind: str) -> None:
    found = scores(f"provide-balls-{kind}", f"balls-{kind}", 8, 10)
    assert found["provide", "F-ARI"] > 0.85
    assert found["savi", "F-ARI"] > 0.75


def test_shipped_windows_take_collisions_apart() -> None:
    found = scores("provide-windows-clevrer", "clevrer", 4, 10, {"size": [64, 96]})
    assert found["provide", "F-ARI"] > 0.88
    assert found["savi", "F-ARI"] > 0.85
    assert found["provide", "ARI"] > 0.85


@pytest.mark.parametrize(
    ("name", "source", "least"),
    [("tetris", "tetrominoes", 0.98), ("multi-dsprites", "multi-dsprites", 0.9), ("clevr6", "clevr6", 0.93)],
)
def test_shipped_windows_take_single_images_apart(name: str, source: str, least: float) -> None:
    assert scores(f"provide-windows-{name}", source, 24, 1)["provide", "F-ARI"] > least


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_cards_tell_what_fresh_videos_give(name: str) -> None:
    """A card's first scores hold on 200 other videos of as many frames, up to the spread between samples of videos."""
    card = load_model(name).card
    first = card.scores[0].data
    source, frames = first.split(",")[0], int(re.search(r"(\d+) frames", first)[1])
    settings = {key: json.loads(value) for key, value in re.findall(r"(\w+)=(\d+|\[[\d, ]+\])", first)}
    found = scores(name, source, 200, frames, settings)
    told = {(s.protocol, s.metric): s.value for s in card.scores if s.data == first}
    assert ("provide", "F-ARI") in told
    for key in {("provide", "F-ARI"), ("savi", "F-ARI"), ("provide", "ARI")} & told.keys():
        assert found[key] == pytest.approx(told[key], abs=0.03)
    assert found["provide", "MSE"] == pytest.approx(told["provide", "MSE"], rel=0.15)
