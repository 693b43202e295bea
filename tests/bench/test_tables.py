"""Tables of measurements."""

import torch

from scenewise.bench import machine, tables

CPU = torch.device("cpu")


def test_tables(result):
    assert [len(row) for row in tables.rows([result])] == [len(tables.HEAD)] * 2
    lines = tables.markdown([result], machine.facts(CPU)).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert any("16x16, K 3, R 3" in line for line in lines)
