"""Models under the bench, and what they are given."""

import pytest
import torch

from scenewise.bench.calls import aten
from scenewise.bench.subject import Spec, Subject, balls


def test_what_ran_covers_every_convolution_of_the_model(subject):
    record = subject.record(training=True)
    weights = {tuple(m.weight.shape) for m in subject.model.modules() if isinstance(m, torch.nn.Conv2d)}
    ran = {c.arguments[1].shape for c in record.calls if c.operation == aten.convolution.default}
    assert weights <= ran
    assert set(record.entered) == {"decoder", "encoder"}


def test_frames_are_videos_of_balls():
    colour, binary = balls((3, 16, 24), 2, 3), balls((1, 16, 16), 1, 2)
    assert tuple(colour.shape) == (2, 3, 3, 16, 24)
    assert colour.min() == 0
    assert colour.max() <= 1
    assert tuple(binary.shape) == (1, 2, 1, 16, 16)
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(colour[:, 0], colour[:, 1])


def test_a_step_and_a_frame_of_ddpae_can_be_recorded() -> None:
    """More components cost more, a frame less than a clip; parts are told apart in refining models alone."""
    two, three = (Subject(Spec("ddpae", "tiny", {"slots": k}, batch=2, frames=5)) for k in (3, 4))
    step, frame = two.record(training=True), two.record(training=False)
    assert 0 < frame.flops < step.flops < three.record(training=True).flops
    assert not step.entered


def test_each_frame_more_of_dvip_costs_the_same() -> None:
    clips = [Subject(Spec("dvip", "tiny", batch=2, frames=t)).record(training=True).flops for t in (3, 4, 5)]
    assert clips[2] - clips[1] == clips[1] - clips[0] > 0
    frame = Subject(Spec("dvip", "tiny", batch=1, frames=3)).record(training=False).flops
    assert 0 < frame < clips[0]


def test_attention_and_autoencoder_of_monet_are_counted() -> None:
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


def test_a_model_of_viewpoints_is_given_some_and_can_be_recorded() -> None:
    subject = Subject(Spec("mulmon", "tiny", batch=1, frames=3))
    observed, queried = subject.model.split(3, 0)
    record = subject.record(training=True)
    assert record.entered["decoder"] == len(observed) * subject.model.decodes() + len(queried)
    assert record.entered["encoder"] == len(observed) * subject.model.config.refinements
    assert subject.record(training=False).entered["encoder"] == subject.model.config.refinements


def test_steps_of_rnem_between_frames_are_what_costs() -> None:
    """Each frame more costs the same; the first step is a little cheaper, no gradient goes beyond it."""
    clips = [Subject(Spec("rnem", "tiny", batch=1, frames=t)).record(training=True).flops for t in (3, 4, 5)]
    assert clips[2] - clips[1] == clips[1] - clips[0] >= clips[0] // 2
    frame = Subject(Spec("rnem", "tiny", batch=1, frames=3)).record(training=False).flops
    assert 0 < frame < clips[0]


def test_rnem_is_given_black_and_white_frames() -> None:
    subject = Subject(
        Spec("rnem", "paper", {"size": [16, 16], "widths": [4], "hidden": 8, "code": 8}, batch=1, frames=2)
    )
    assert subject.record(training=True).flops > 0
