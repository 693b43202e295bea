"""The plain version that a model is compared with."""

import pytest

from scenewise.bench import naive, tables
from scenewise.bench.measure import measure
from scenewise.bench.subject import Spec
from scenewise.errors import InputError


def test_without_a_checkout_there_is_no_plain_version(monkeypatch, tmp_path):
    monkeypatch.setattr(naive, "naive_file", lambda: tmp_path / "naive.py")
    with pytest.raises(InputError, match="needs a checkout of the source"):
        naive.check()


def test_plain_version_is_timed_in_turn(monkeypatch, tmp_path):
    file = tmp_path / "naive.py"
    file.write_text("import contextlib\n\ndef engaged(model):\n    return contextlib.nullcontext()\n")
    monkeypatch.setattr(naive, "naive_file", lambda: file)
    naive.plain_version.cache_clear()
    found = measure(Spec("provide", "tiny"), 2, against_naive=True, with_memory=False)
    naive.plain_version.cache_clear()
    assert found.training.naive.gflop_ratio == 1
    assert found.streaming.naive.time_ratio.median > 0
    assert len(tables.plain_rows([found])[0]) == len(tables.PLAIN_HEAD)
