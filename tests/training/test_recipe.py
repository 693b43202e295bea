"""What a recipe says of a step, and what two recipes differ in."""

import dataclasses

import pytest

from scenewise.training import recipes
from scenewise.training.recipe import TrainingPart, clip_length, differences, learning_rate, longest_clip, work


def test_differences_name_settings_and_leave_out_what_may_change():
    old = recipes.load("provide-tiny")
    new = recipes.load("provide-tiny", ["training.batch=8", "data.settings.seed=1", "training.minutes=3"])
    assert differences(old, new) == [
        "data.settings.seed: None in the run, 1 now",
        "training.batch: 4 in the run, 8 now",
    ]


def test_learning_rates():
    training = TrainingPart(steps=100, learning_rate=1.0, warm_up=10)
    assert [learning_rate(training, s) for s in (0, 4, 9, 50)] == [0.1, 0.5, 1.0, 1.0]
    cosine = dataclasses.replace(training, schedule="cosine")
    assert learning_rate(cosine, 10) == 1.0
    assert learning_rate(cosine, 55) == pytest.approx(0.5)
    assert learning_rate(cosine, 100) == pytest.approx(0.0)
    halving = dataclasses.replace(training, schedule="exponential", half_life=20)
    assert learning_rate(halving, 60) == pytest.approx(0.125)
    falling = dataclasses.replace(training, schedule="linear", decay_steps=1000)
    assert [learning_rate(falling, s) for s in (500, 1000, 5000)] == pytest.approx([0.55, 0.1, 0.1])


def test_curriculum_and_work():
    training = TrainingPart(steps=100, curriculum=((0, 1), (10, 3), (200, 9)))
    assert [clip_length(training, s) for s in (0, 9, 10, 99)] == [1, 1, 3, 3]
    assert longest_clip(training) == 3
    assert work(training, lambda n: n) == 10 * 1 + 90 * 3
    assert work(training, lambda n: n, first=50) == 50 * 3
