"""Names are text on terminals: no markup, no escape bytes, and nothing of them ends the program."""

import io
import os
import re
import sys

import pytest
from rich.console import Console
from tests.processes import Process, main_printing_in

from scenewise.cli import main, output
from scenewise.cli.output import Progress, say, status
from scenewise.cli.train import ConsoleReporter
from scenewise.training.recipe import StagePlace

NAMES = [
    "video[final].mp4",
    "in[/x].mp4",
    "[bold]a[/bold].mp4",
    "a\x1b[2J\x1b]0;title\x07.mp4",
    "b\rc.mp4",
    "caf\udce9.mp4",
]
OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(name):
    """What a terminal shows of a name, written out."""
    return {3: "a\\x1b[2J\\x1b]0;title\\x07.mp4", 4: "b c.mp4", 5: "caf\\xe9.mp4"}.get(NAMES.index(name), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_bar_and_a_status_line_show_names_as_they_are(monkeypatch, name):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress(name) as bar:
        bar(1, 2)
    status("made")(name)
    written = terminal.getvalue()
    assert written.count(shown(name)) >= 2
    assert OURS.sub("", written).replace("\n", " ").isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_lines_elsewhere(capsys, monkeypatch, name):
    monkeypatch.setattr(output, "SECONDS_BETWEEN_LINES", 0.0)
    with Progress(name) as bar:
        bar(1, 2)
    say(f"{name}: 2 frames")
    out, err = capsys.readouterr()
    assert out == f"{shown(name)}: 2 frames\n"
    assert err.startswith(f"{shown(name)}: 1 of 2 frames")


def test_names_of_stages_are_no_markup():
    stream = Terminal()
    with ConsoleReporter(Console(file=stream, force_terminal=True, width=200)) as reporter:
        reporter.begun(StagePlace(1, 2, "clips [of] 8"), 5, 0)
    assert "clips [of] 8" in OURS.sub("", stream.getvalue())


@pytest.mark.parametrize("name", ["a\x1b[31mred.mp4", "b[/x].mp4", "x" * 300])
def test_errors_show_names_as_they_are(tmp_path, capsys, model, name):
    assert main(["decompose", str(tmp_path / name), "--model", model, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert len(line) < 1000


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_letters(tmp_path, encoding):
    name = os.fsdecode(b"/nowhere/\xe6\x9d\xb1caf\xe9.mp4")
    done = Process(main_printing_in, encoding, ["decompose", name, "--out", str(tmp_path / "out")])
    _, errors = done.communicate()
    assert done.returncode == 2
    assert "Traceback" not in errors
    assert errors.startswith("error: /nowhere/")
