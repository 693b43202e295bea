"""Named cases, and numbers that go before theirs."""

import pytest

from scenewise.bench import cases, named
from scenewise.config import build, merge
from scenewise.errors import InputError


def test_the_main_cases_are_measured_when_nothing_is_named():
    specs, skipped = cases.specs(cases.BenchRequest(batch=1))
    assert [s.name for s in specs] == ["provide-paper", "iodine-64", "iodine-128", "mulmon-64"]
    assert {s.batch for s in specs} == {1}
    assert skipped == []
    assert [s.name for s in cases.specs(cases.BenchRequest(["provide"]))[0]] == ["provide paper"]


@pytest.mark.parametrize("name", sorted(named.CASES))
def test_every_case_has_a_model_and_settings_that_it_knows(name):
    (spec,), skipped = cases.specs(cases.BenchRequest(cases=[name]))
    assert skipped == []
    kind = spec.model_class()
    build(kind.config_class, merge(kind.presets[spec.preset], spec.overrides), name)


def test_presets_are_of_models_that_are_named():
    with pytest.raises(InputError, match="none is named; found fast"):
        cases.specs(cases.BenchRequest(presets=["fast"]))


def test_cases_of_models_that_are_not_there_are_skipped(monkeypatch):
    monkeypatch.setattr(cases, "CASES", named.CASES | {"later": named.Case("later", "paper", 1, 1)})
    specs, skipped = cases.specs(cases.BenchRequest(cases=["provide-paper", "later"]))
    assert [s.name for s in specs] == ["provide-paper"]
    assert (specs[0].batch, specs[0].frames) == (2, 4)
    assert specs[0].overrides["refinements"] == 6
    assert "not registered" in skipped[0]


def test_numbers_given_go_before_those_of_a_case():
    request = cases.BenchRequest(cases=["provide-paper"], batch=1, frames=3, slots=7, bf16=True, recompute=True)
    (spec,), _ = cases.specs(request)
    assert (spec.batch, spec.frames) == (1, 3)
    assert spec.overrides["slots"] == 7
    assert spec.overrides["bf16_convolutions"]
    assert spec.overrides["recompute"]


def test_the_case_of_ddpae_is_a_clip_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["ddpae-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("ddpae", "paper", 8, 20)


def test_the_case_of_dvip_is_a_training_step_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["dvip-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("dvip", "paper", 8, 4)


def test_the_case_of_monet_is_the_paper_with_seven_slots() -> None:
    (spec,), skipped = cases.specs(cases.BenchRequest(cases=["monet-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames, spec.overrides) == ("monet", "paper", 4, 1, {"slots": 7})
    assert not skipped


def test_the_case_of_mulmon_is_the_training_step_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["mulmon-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("mulmon", "paper", 2, 10)


def test_the_case_of_rnem_is_a_training_step_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["rnem-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("rnem", "paper", 2, 10)
