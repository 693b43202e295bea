"""Every recipe that ships runs from an empty folder: two steps of every stage, small batches and few videos."""

import pytest

from scenewise.checkpoint import load_model
from scenewise.training import recipes
from scenewise.training.run import train

pytestmark = pytest.mark.slow  # two minutes of one core together

SMALL = [
    "training.steps=2", "training.batch=2", "training.curriculum=[[0, 1]]", "training.validation_videos=1",
    "training.validation_frames=1", "training.images_every=1000", "training.device=cpu", "training.accumulation=1",
]  # fmt: skip
TINY = ["model.preset=tiny", "model.settings={}", "data.settings.size=16"]
TWO, TWENTY = ([f"training.curriculum=[[0, {n}]]", f"training.validation_frames={n}"] for n in (2, 20))
MULMON = ("objects-from-elsewhere", "sharper-pixels")
WORDS = {
    "ddpae-balls": [*TWENTY, "training.batch=1"],
    "ddpae-moving-mnist": [*TWENTY, "training.batch=1"],
    "dvip-moving-mnist": TWO,
    "dvip-moving-mnist-entangled": TWO,
    "dvip-moving-mnist-paper": [*TWO, "model.preset=small"],
    "mulmon-cle-mv": [f"stages.{stage}.training.curriculum=[[0, 4]]" for stage in MULMON],
    "provide-paper-balls-binary": TINY,
    "provide-paper-balls-colour": TINY,
    "rnem-balls": TWO,
    "rnem-paper-balls": [*TWO, "model.preset=tiny", "data.settings.size=16"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(recipes.names()) - {"footage"}))
def test_every_recipe_runs_from_an_empty_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = recipes.load(name, [*SMALL, *WORDS.get(name, [])])
    if any(part.data.source == "cle-mv" for part in recipe.parts()):
        pytest.importorskip("mujoco", reason="multi-view scenes need mujoco")
    outcome = train(recipe, tmp_path / "run")
    assert (outcome.step, outcome.stopped) == (2 * len(recipe.parts()), None)
    card = load_model(outcome.model).card
    assert card.steps == outcome.step
    assert [stage.name for stage in card.stages] == ([stage.name for stage in recipe.stages] or [""])
