"""The least that convolutions take: what ran, and what the rule asks for."""

import pytest
import torch

from scenewise.bench import floor
from scenewise.bench.calls import Recorder
from scenewise.bench.subject import Spec, Subject


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("provide", {}),
        ("provide", {"budget": {"grid": "full"}}),
        ("provide", {"budget": {"trailing": True}}),
        ("iodine", {}),
        ("seq-iodine", {}),
    ],
)
def test_the_rule_asks_for_no_more_than_ran(model, overrides):
    subject = Subject(Spec(model, "tiny", overrides))
    subject.settle()
    for training in (True, False):
        record = subject.record(training)
        rule, ran = floor.ruled(record, training), floor.executed(record)
        assert 0 < floor.work_flops(rule) <= 1.01 * floor.work_flops(ran) <= 1.01 * record.flops


def test_the_rule_is_four_decoders_and_three_encoders(subject):
    record = subject.record(training=True)
    shared, once = 0, {"decoder": 0.0, "encoder": 0.0}
    for part, counts in record.forward.items():
        once[part] = sum(c.flops * n for c, n in counts.items() if c in record.differentiated) / record.entered[part]
        shared += sum(c.flops * n for c, n in counts.items() if c not in record.differentiated)
    decodes, refined = record.entered["decoder"], record.entered["encoder"]
    expected = refined * (4 * once["decoder"] + 3 * once["encoder"]) + (decodes - refined) * 3 * once["decoder"]
    found = floor.work_flops(floor.ruled(record, training=True))
    assert found == pytest.approx(expected + 2 * shared, rel=0.05)  # inputs without a gradient need 2, not 3


def test_recomputing_runs_more_and_must_run_no_more():
    kept, recomputed = (Subject(Spec("provide", "tiny", {"recompute": on})).record(True) for on in (False, True))
    assert recomputed.flops > 1.1 * kept.flops
    assert recomputed.entered == kept.entered
    rules = [floor.work_flops(floor.ruled(record, True)) for record in (kept, recomputed)]
    assert rules[0] == pytest.approx(rules[1])


def test_models_of_another_kind_have_no_rule():
    record = Recorder(floor.parts_of(torch.nn.Conv2d(1, 1, 3)))
    assert floor.ruled(record, training=True) == {}
