"""A clip as a model explains it: which clip, how many of its frames, and of whom."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from scenewise.config import build
from scenewise.data import SOURCES
from scenewise.experiments import clips
from scenewise.experiments.experiment import Scoring
from scenewise.models.provide import PRESETS, Provide
from scenewise.models.provide_config import ProvideConfig


def folder(model="provide", seed=0, **scoring):
    asked = []

    def source(split, name, **settings):
        asked.append((split, name, settings))
        return SOURCES.get(name or "balls-colour")(split, **{"size": 16, **settings})

    cell = SimpleNamespace(model=model, seed=seed, name="a.b", scoring=(Scoring("provide", **scoring),))
    return SimpleNamespace(cell=cell, source=source, asked=asked)


def test_the_clip_is_that_of_the_first_evaluation_with_its_slots():
    torch.manual_seed(0)
    model = SimpleNamespace(model=Provide(build(ProvideConfig, PRESETS["tiny"], "tiny")).eval())
    own = folder(frames=4)
    other = folder(frames=23, slots=5, source="balls-colour-678", settings={"colours": 4})
    four, eight = clips.pictures(own, model)["clip"], clips.pictures(other, model)["clip"]
    assert own.asked == [("test", None, {})]
    assert other.asked == [("test", "balls-colour-678", {"colours": 4})]
    tile = (four.shape[1] - eight.shape[1]) / (4 - 8)  # every third of 23 frames is drawn: 8
    assert tile == (four.shape[0] - eight.shape[0]) / (3 - 5)  # and a row for each of 5 slots, not of 3
    assert clips.pictures(folder(seed=1, frames=2), model) == {}
    assert clips.pictures(folder(model="iodine", frames=2), model) == {}
