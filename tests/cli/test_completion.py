"""Completion scripts are made from the parsers, and shells take them."""

import shutil
import subprocess

import pytest

from scenewise.cli import VERBS


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    from contextlib import redirect_stdout

    from scenewise.cli import main

    def make(shell):
        path = tmp_path_factory.mktemp("shells") / shell
        with path.open("w") as file, redirect_stdout(file):
            assert main(["completion", shell]) == 0
        return path

    return make


@pytest.fixture(scope="module")
def complete(script):
    """What bash offers after some words."""
    path = script("bash")

    def offered(*words):
        line = " ".join(f"'{word}'" for word in ("scenewise", *words))
        show = "_scenewise; printf '%s\\n' \"${COMPREPLY[@]}\""
        program = f"source {path}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; {show}"
        return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.splitlines()

    return offered


def test_bash_completes_verbs_options_and_names(complete):
    assert set(VERBS) <= set(complete(""))
    assert complete("dec") == ["decompose"]
    assert {"--slots", "--formats", "--json", "-q"} <= set(complete("decompose", "clip.mp4", "-"))
    assert complete("decompose", "--model", "provide-balls-c") == ["provide-balls-colour"]
    assert complete("decompose", "--formats", "ov") == ["overlay"]
    assert complete("train", "provide-balls-bin") == ["provide-balls-binary"]
    assert {"list", "make", "bench"} <= set(complete("data", ""))
    assert "--samples" in complete("data", "make", "--")
    assert complete("evaluate", "--split", "val") == ["validation"]


def test_bash_completes_files(complete, tmp_path):
    (tmp_path / "clip one.mp4").touch()
    assert complete("decompose", f"{tmp_path}/cli") == [f"{tmp_path}/clip one.mp4"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script(script, shell):
    path = script(shell)
    assert "scenewise" in path.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", str(path)], check=True)
