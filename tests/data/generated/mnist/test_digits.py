"""Digits that two generators show: the same in every process, never sent to workers, a remedy where there are none."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.generated.mnist import digits
from scenewise.errors import InputError

from ...digits_written import digest, write

both = pytest.mark.parametrize("name", ["moving-mnist", "textured-mnist"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("idx"), "", 700)


@pytest.mark.slow
@both
def test_a_fresh_process_makes_the_same(files, name):
    code = (
        "import hashlib; from scenewise.data import SOURCES;"
        f"frames, ids = SOURCES.get({name!r})('test', **{files!r}).batch([0, 1, 2]);"
        "print(hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == digest(SOURCES.get(name)("test", **files))


@both
def test_source_can_be_sent_to_a_worker_without_its_digits(files, name):
    source = SOURCES.get(name)("test", **files)
    sent = pickle.dumps(source)
    assert len(sent) < 5000
    assert np.array_equal(source.batch([3])[0], pickle.loads(sent).batch([3])[0])


@both
def test_without_files_and_scikit_learn_the_remedy_is_named(monkeypatch, name):
    digits.small_digits.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"images= and labels=.*scenewise\[sklearn\]"):
        SOURCES.get(name)("test")
