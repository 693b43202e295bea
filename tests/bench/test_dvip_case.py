"""The bench of a model that runs from frame to frame and refines nothing."""

from scenewise.bench import cases
from scenewise.bench.subject import Spec, Subject


def test_the_case_is_a_training_step_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["dvip-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("dvip", "paper", 8, 4)


def test_each_frame_more_costs_the_same() -> None:
    clips = [Subject(Spec("dvip", "tiny", batch=2, frames=t)).record(training=True).flops for t in (3, 4, 5)]
    assert clips[2] - clips[1] == clips[1] - clips[0] > 0
    frame = Subject(Spec("dvip", "tiny", batch=1, frames=3)).record(training=False).flops
    assert 0 < frame < clips[0]
