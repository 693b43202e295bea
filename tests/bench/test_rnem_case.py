"""The bench of a model whose EM steps are its frames."""

from scenewise.bench import cases
from scenewise.bench.subject import Spec, Subject


def test_the_case_is_a_training_step_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["rnem-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("rnem", "paper", 2, 10)


def test_steps_between_frames_are_what_costs() -> None:
    """Each frame more costs the same; the first step is a little cheaper, no gradient goes beyond it."""
    clips = [Subject(Spec("rnem", "tiny", batch=1, frames=t)).record(training=True).flops for t in (3, 4, 5)]
    assert clips[2] - clips[1] == clips[1] - clips[0] >= clips[0] // 2
    frame = Subject(Spec("rnem", "tiny", batch=1, frames=3)).record(training=False).flops
    assert 0 < frame < clips[0]


def test_it_is_given_black_and_white_frames() -> None:
    subject = Subject(
        Spec("rnem", "paper", {"size": [16, 16], "widths": [4], "hidden": 8, "code": 8}, batch=1, frames=2)
    )
    assert subject.record(training=True).flops > 0
