"""Two thousand damaged files: each gives a result or one clear line, in time, and nothing is left half-written."""

import json
import os
import shutil
import signal
import traceback
import zlib

import numpy as np
import pytest
from tests.fuzz import kinds

from scenewise.cli import main

SECONDS = 60  # of processor time, so that a busy machine is no failure
LONGEST = 900  # seconds by the clock: what waits for ever takes no processor time


class TooLongError(BaseException):
    """Nothing that is meant for the errors of files catches it."""


def stop(*_):
    raise TooLongError


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Folders of whole files by kind, made when first asked for, beside a model."""
    root = tmp_path_factory.mktemp("originals")
    kinds.model(root / "model")

    def original(name):
        folder = root / name.replace(", ", "-")
        if not folder.exists():
            folder.mkdir()
            kinds.KINDS[name].make(folder)
        return folder

    return original


def outcome(words):
    """Return the exit code of a command line, or what went wrong."""
    before = [signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(LONGEST)
    try:
        return main(words)
    except TooLongError:
        return f"longer than {SECONDS} s of processor time, or {LONGEST} s"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)


def clear(folder):
    """Remove the input and what was made of it."""
    for name in ("input", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "out.png").unlink(missing_ok=True)


def halves(folder):
    """Return what a command that has ended should not have left."""
    return [path.name for path in folder.rglob("*") if path.suffix in (".part", ".old", ".tmp")]


@pytest.mark.slow
@pytest.mark.timeout(9000)
@pytest.mark.parametrize("name", kinds.KINDS)
def test_damaged_files(name, originals, tmp_path, capsys, monkeypatch):
    kind, whole = kinds.KINDS[name], originals(name)
    monkeypatch.chdir(tmp_path)
    counts, faults = {"read": 0, "refused": 0}, []
    (tmp_path / "model").exists() or shutil.copytree(whole.parent / "model", tmp_path / "model")
    folder = tmp_path / "input"
    shutil.copytree(whole, folder)
    assert outcome(kind.words(folder, tmp_path / "out")) == 0, capsys.readouterr().err
    clear(tmp_path)
    for number in range(kind.inputs):
        random = np.random.default_rng((zlib.crc32(name.encode()), number))
        shutil.copytree(whole, folder)
        targets = sorted(path for pattern in kind.spoiled for path in folder.glob(pattern))
        target = targets[int(random.integers(len(targets)))]
        target.write_bytes(kind.mutate(target.read_bytes(), random))
        result = outcome(kind.words(folder, tmp_path / "out"))
        said = capsys.readouterr()
        errors = [line for line in said.err.splitlines() if line.startswith("error")]
        if result not in (0, 2):
            faults.append(f"{number}: {result}")
        elif result == 2 and (not errors or max(map(len, errors)) > 1100):
            faults.append(f"{number}: exit code 2 without one clear line: {said.err[-300:]}")
        elif halves(tmp_path):
            faults.append(f"{number}: left {halves(tmp_path)}")
        counts["read" if result == 0 else "refused"] += 1
        clear(tmp_path)
    if "FUZZ_TALLY" in os.environ:
        with open(os.environ["FUZZ_TALLY"], "a") as file:
            file.write(json.dumps({"kind": name, **counts, "faults": faults}) + "\n")
    assert not faults, "\n".join(faults[:5])
    assert counts["read"] + counts["refused"] == kind.inputs


def test_there_are_two_thousand():
    assert sum(kind.inputs for kind in kinds.KINDS.values()) >= 2000
