"""The bench of a model that takes viewpoints."""

from scenewise.bench import cases
from scenewise.bench.subject import Spec, Subject


def test_the_case_is_the_training_step_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["mulmon-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("mulmon", "paper", 2, 10)


def test_a_model_of_viewpoints_is_given_some_and_can_be_recorded() -> None:
    subject = Subject(Spec("mulmon", "tiny", batch=1, frames=3))
    observed, queried = subject.model.split(3, 0)
    record = subject.record(training=True)
    assert record.entered["decoder"] == len(observed) * subject.model.decodes() + len(queried)
    assert record.entered["encoder"] == len(observed) * subject.model.config.refinements
    assert subject.record(training=False).entered["encoder"] == subject.model.config.refinements
