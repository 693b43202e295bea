"""The command as a whole: help, start-up time, errors."""

import os
import subprocess
import sys

import pytest

from scenewise.cli import VERBS, main
from scenewise.errors import InputError

HEAVY = ("torch", "lightning", "numpy", "scipy", "av", "PIL", "h5py", "rich", "yaml")
"""What makes a start slow; `scenewise bench` has the times."""


@pytest.mark.parametrize("code", ["import scenewise", "from scenewise.cli import main; main(['--help'])"])
def test_a_start_brings_nothing_heavy(code):
    code += f"; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_brings_no_torch(verb):
    code = (
        f"import sys; from scenewise.cli import main; c = main([{verb!r}, '--help']); print(c, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("0 False")
    assert "example" in done.stdout


def test_data_are_made_without_torch(tmp_path):
    words = ["data", "make", "balls-binary", "--samples", "1", "--out", str(tmp_path / "made")]
    code = f"import sys; from scenewise.cli import main; c = main({words!r}); print(c, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("0 False")


def test_help_lists_every_verb(scenewise):
    code, out, _ = scenewise("--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)


def test_version(scenewise):
    assert scenewise("--version") == (0, "scenewise 0.1.0\n", "")


def test_unknown_verbs_and_options(scenewise):
    assert scenewise("decompos")[0] == 2
    assert scenewise()[0] == 2
    assert scenewise("decompose", "clip.mp4", "--out", "x", "--nonsense")[0] == 2


def test_waiting_threads_sleep(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_only_errors_of_the_user_lose_their_traceback(monkeypatch, capsys):
    from scenewise.cli import models

    def fail(error):
        def run(args):
            raise error

        return run

    monkeypatch.setattr(models, "run", fail(InputError("file", "is wrong.", "Mend it.")))
    assert main(["models"]) == 2
    assert capsys.readouterr().err == "error: file: is wrong. Mend it.\n"
    monkeypatch.setattr(models, "run", fail(KeyboardInterrupt()))
    assert main(["models"]) == 130
    monkeypatch.setattr(models, "run", fail(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["models"])
