"""The bench of a model that explains images in one pass."""

import pytest

from scenewise.bench import cases
from scenewise.bench.subject import Spec, Subject


def test_the_case_is_the_paper_with_seven_slots() -> None:
    (spec,), skipped = cases.specs(cases.BenchRequest(cases=["monet-64"]))
    assert (spec.model, spec.preset, spec.batch, spec.frames, spec.overrides) == ("monet", "paper", 4, 1, {"slots": 7})
    assert not skipped


def test_attention_and_autoencoder_are_counted() -> None:
    """A slot more is one run of both more; a step is more than two frames' worth of forward passes."""
    flops = []
    for slots in (2, 3, 4):
        subject = Subject(Spec("monet", "tiny", {"slots": slots}, batch=2, frames=1))
        flops.append((subject.record(training=True).flops, subject.record(training=False).flops))
    for a, b, c in zip(*flops, strict=True):
        assert c - b == pytest.approx(b - a, rel=1e-3)  # the first scope takes no gradient
        assert b > a
    step, frame = flops[0]
    assert step > 4 * frame  # two images, and a backward pass
