"""`scenewise models`."""

import json
import re

from scenewise.checkpoint import shipped
from scenewise.models import MODELS


def test_every_model_that_ships_tells_how_many_slots_it_has(scenewise):
    told = re.findall(r", (\w+) slots,", scenewise("models")[1])
    assert len(told) == len(shipped())
    assert all(int(slots) >= 1 for slots in told)


def test_no_name_runs_into_its_text(scenewise):
    lines = scenewise("models")[1].splitlines()
    for name in (*MODELS.names(), *shipped()):
        assert any(re.match(rf"  {re.escape(name)}  +\S", line) for line in lines), name


def test_models_are_listed(scenewise):
    code, out, _ = scenewise("models")
    assert code == 0
    assert "provide" in out
    assert "tiny" in out
    assert "models" in json.loads(scenewise("models", "--json")[1])
