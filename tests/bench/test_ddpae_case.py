"""The bench of a model that neither refines nor runs from frame to frame."""

from scenewise.bench import cases
from scenewise.bench.subject import Spec, Subject


def test_the_case_is_a_clip_of_the_paper() -> None:
    (spec,), _ = cases.specs(cases.BenchRequest(cases=["ddpae-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames) == ("ddpae", "paper", 8, 20)


def test_a_step_and_a_frame_can_be_recorded() -> None:
    """More components cost more, a frame less than a clip; parts are told apart in refining models alone."""
    two, three = (Subject(Spec("ddpae", "tiny", {"slots": k}, batch=2, frames=5)) for k in (3, 4))
    step, frame = two.record(training=True), two.record(training=False)
    assert 0 < frame.flops < step.flops < three.record(training=True).flops
    assert not step.entered
