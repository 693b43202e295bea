"""A run of a model that takes viewpoints, on scenes that have them."""

import pytest

from scenewise.checkpoint import load_model, use
from scenewise.training import recipes
from scenewise.training.recipe import Recipe
from scenewise.training.run import train

from .runs import last_state, rows, same

pytest.importorskip("mujoco", reason="multi-view scenes need mujoco")

MODEL = {"name": "mulmon", "preset": "tiny"}
SOURCE = {"source": "cle-mv", "settings": {"size": 16, "frames": 4, "smooth": False, "min_objects": 1}}
TRAINING = {
    "steps": 4, "batch": 2, "curriculum": [[0, 4]], "validate_every": 2, "validation_videos": 2, "images_every": 4,
    "checkpoint_every": 2, "device": "cpu", "log_every": 1,
}  # fmt: skip


def recipe(**training: object) -> Recipe:
    values = {"name": "views", "model": MODEL, "data": SOURCE, "training": TRAINING | training}
    return recipes.from_plain(values, "views")


def test_a_run_over_views_leaves_a_model_that_renders_and_can_be_resumed(tmp_path) -> None:
    whole = train(recipe(), tmp_path / "whole")
    assert whole.steps == 4
    terms = rows(tmp_path / "whole" / "metrics.csv")[-1]
    assert float(terms["query"]) != 0
    model = load_model(tmp_path / "whole" / "model").model
    assert (model.config.slots, model.viewpoint_size) == (6, 3)
    assert use(type(model)).startswith("render ")
    train(recipe(), tmp_path / "broken", minutes=1e-9)
    train(recipe(), tmp_path / "broken", resume=True)
    assert same(last_state(tmp_path / "whole"), last_state(tmp_path / "broken"))


def test_the_stages_of_the_recipe_go_from_single_views_to_scenes() -> None:
    first, *later = recipes.load("mulmon-cle-mv").parts()
    assert first.model.name == "iodine"
    assert [part.model.name for part in later] == ["mulmon", "mulmon"]
    for part in later:
        for key in ("latent", "encoder"):
            assert part.model.settings[key] == first.model.settings[key]
