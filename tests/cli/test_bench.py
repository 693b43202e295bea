"""scenewise bench: what it prints and writes, and what it refuses."""

import json

import pytest

from scenewise.bench import memory, naive
from scenewise.bench.named import CASES, MAIN
from scenewise.cli import main


@pytest.fixture
def quick(monkeypatch):
    """No processes for memory: they are tested by themselves."""
    monkeypatch.setattr(memory, "measure", lambda spec, training: memory.Memory(100.0, 300.0))


def test_numbers_are_printed_and_written(scenewise, quick, model, tmp_path):
    file = tmp_path / "speed.json"
    code, out, _ = scenewise("bench", "provide", model, "--presets", "tiny", "--repeats", 1, "--json", file)
    assert code == 0
    assert "provide tiny, training step" in out
    assert "load average" in out
    found = json.loads(file.read_text())
    assert set(found) == {"format", "machine", "results", "skipped"}
    assert [r["spec"]["model"] for r in found["results"]] == ["provide", model]
    assert found["machine"]["threads"] >= 1
    assert found["results"][0]["training"]["memory"] == {"growth": 100.0, "peak": 300.0}


def test_markdown(scenewise, quick):
    code, out, _ = scenewise("bench", "provide", "--presets", "tiny", "--repeats", 1, "--slots", 2, "--markdown")
    assert code == 0
    assert out.startswith("| model | training step |")
    assert "K 2" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nosuch"], "nosuch"),
        (["provide", "--presets", "papr"], "Did you mean 'paper'"),
        (["provide", "--presets", ","], "--presets"),
        (["provide", "--slots", "0"], "--slots"),
        (["provide", "--batch", "0"], "--batch"),
        (["provide", "--frames", "-1"], "--frames"),
        (["provide", "--threads", "0"], "--threads"),
        (["provide", "--repeats", "0"], "--repeats"),
        (["provide", "--slots", "1000", "--presets", "tiny"], "slots"),
        (["--case", "provide-papers"], "provide-paper"),
        (["--presets", "fast"], "none is named"),
        (["--against", "clever"], "--against"),
        (["--sweep", "--batch", "2"], "--sweep"),
        (["provide", "--device", "cuda:99"], "cuda:99"),
    ],
)
def test_what_cannot_be_is_named(scenewise, words, told):
    code, _, errors = scenewise("bench", *words)
    assert code == 2
    assert told in errors


def test_help_names_every_case(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    assert main(["bench", "--help"]) == 0
    told = capsys.readouterr().out
    assert ", ".join(CASES) in told
    assert {"provide-paper", "monet-64", "ddpae-64", "rnem-64", "dvip-64"} <= set(CASES)
    assert f"without --case: {', '.join(MAIN)}" in told


def test_comparing_needs_a_checkout(scenewise, monkeypatch, tmp_path):
    monkeypatch.setattr(naive, "naive_file", lambda: tmp_path / "naive.py")
    code, _, errors = scenewise("bench", "provide", "--against", "naive")
    assert code == 2
    assert "checkout of the source" in errors


def test_data_is_handed_to_the_bench_of_sources(capsys) -> None:
    assert main(["bench", "data", "no-such-source"]) == 2
    assert "no-such-source" in capsys.readouterr().err
