"""Ledgers and records of a batch that were made or broken to harm: refused in one line, or not believed."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from scenewise.batch.inputs import list_videos
from scenewise.batch.ledger import Ledger, Row
from scenewise.batch.run import Batch
from scenewise.errors import InputError


def ledger_of(path, *statements):
    """Write a ledger of one video that is done, and change it."""
    ledger = Ledger(path)
    ledger.put([Row("a.mp4", state="done", frames=3)])
    ledger.close()
    base = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        base.execute(*statement) if isinstance(statement, tuple) else base.execute(statement)
    base.close()


@pytest.mark.parametrize("column", ["location", "version", "job", "state", "attempts", "objects", "seconds", "began"])
@pytest.mark.parametrize("value", [None, b"\xff\xfe", "x", -5, 1.5, float("inf")])
def test_values_of_other_kinds(tmp_path, column, value):
    ledger_of(tmp_path / "ledger.sqlite", (f"UPDATE videos SET {column} = ?", (value,)))
    kinds = {"attempts": int, "objects": int, "seconds": float, "began": float}
    kind = kinds.get(column, str)
    sound = (isinstance(value, (str, bytes)) and kind is str and column != "state") or (kind, value) == (float, 1.5)
    if sound:
        assert len(Ledger(tmp_path / "ledger.sqlite").rows()) == 1
        return
    with pytest.raises(InputError, match=r"is damaged.* Choose another folder\."):
        Ledger(tmp_path / "ledger.sqlite").rows()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE videos SET name = '../../evil.mp4'",
        "UPDATE videos SET name = '/etc/evil.mp4'",
        "UPDATE videos SET report = '../../../evil.html'",
        "UPDATE videos SET name = 5",
        ("UPDATE videos SET name = ?", ("a\0b",)),
    ],
)
def test_names_that_lead_elsewhere(tmp_path, statement):
    ledger_of(tmp_path / "ledger.sqlite", statement)
    with pytest.raises(InputError, match="is damaged"):
        Ledger(tmp_path / "ledger.sqlite").rows()


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE videos", "CREATE VIEW videos AS SELECT 1 AS name"),
        ("CREATE TRIGGER t AFTER INSERT ON videos BEGIN DELETE FROM videos; END",),
        ("CREATE TABLE others (a)",),
        ("PRAGMA user_version = 99",),
    ],
)
def test_other_contents(tmp_path, statements):
    ledger_of(tmp_path / "ledger.sqlite", *statements)
    with pytest.raises(InputError):
        Ledger(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "circle", "bytes"])
@pytest.mark.parametrize("name", ["ledger.sqlite", "ledger-2-of-3.sqlite"])
def test_what_is_no_file(job, clips, kind, name):
    path = Path(job.out) / name
    path.parent.mkdir(parents=True)
    make = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "circle": lambda: path.symlink_to(path.name),
        "bytes": lambda: path.write_bytes(b"\0\xff" * 999),
    }
    make[kind]()
    with pytest.raises(InputError, match=name), Batch(job, "tiny") as batch:
        batch.plan(list_videos([str(clips)], {}))


@pytest.mark.parametrize(
    "record",
    [
        [1], {}, {"settings": [1]}, {"settings": {"model": "x"}}, {"settings": {"model": {"fingerprint": "SAME"}}},
        {"settings": {"model": {"fingerprint": "SAME"}}, "verdict": 5, "objects": "x", "frames": None, "seconds": "y",
         "files": 7},
    ],
)  # fmt: skip
def test_a_video_whose_record_is_damaged_is_done_again(job, clips, pretended, record):
    videos = list_videos([str(clips)], {})
    with Batch(job, "tiny") as batch:
        batch.plan(videos)
        row = batch.rows["a.mp4"]
        row.state, row.began = "running", 1.0
        batch.ledger.put([row])
    folder = Path(job.out) / "videos" / "a.mp4"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record).replace("SAME", job.fingerprint))
    with Batch(job, "tiny") as batch:
        assert batch.plan(videos).left == len(videos)
