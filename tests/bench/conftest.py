"""A small model and what the bench says of it."""

import pytest

from scenewise.bench.measure import measure
from scenewise.bench.subject import Spec, Subject


@pytest.fixture(scope="session")
def subject():
    return Subject(Spec("provide", "tiny"))


@pytest.fixture(scope="session")
def result():
    return measure(Spec("provide", "tiny"), 2, with_memory=False)
