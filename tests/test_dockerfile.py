"""What the Dockerfile asks for is there: there is no daemon in most places where tests run."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from scenewise.cli import command_parser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def steps():
    """The instructions, as (word, rest), continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_what_is_copied_is_sent_to_the_daemon(steps, project):
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    wheel = f"dist/{project['name']}-{project['version']}-py3-none-any.whl"
    copied = [rest.split()[0] for word, rest in steps if word == "COPY"]
    assert copied
    for pattern in copied:
        assert fnmatch(wheel, pattern)
        assert any(fnmatch(wheel, line) for line in kept)


def test_torch_and_extras_are_those_of_the_project(steps, project):
    run = next(rest for word, rest in steps if word == "RUN" and "pip install" in rest)
    torch = next(text for text in project["dependencies"] if text.startswith("torch>"))
    assert f'"{torch}"' in run
    (extras,) = re.findall(r"\$1\[([a-z,]+)\]", run)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    python = next(rest for word, rest in steps if word == "FROM")
    assert f"Python :: {python.split(':')[1].removesuffix('-slim')}" in " ".join(project["classifiers"])


def test_the_command_is_one(steps):
    words = [shlex.split(rest.strip("[]").replace(",", " ")) for word, rest in steps if word in ("ENTRYPOINT", "CMD")]
    assert words[0] == ["scenewise"]
    assert command_parser(words[1]).parse_args(words[1]).host == "0.0.0.0"
