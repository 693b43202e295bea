"""What is left of a batch: skipped, done again, set aside, shared out, kept from others."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from scenewise.batch.inputs import list_videos
from scenewise.batch.job import Outcome
from scenewise.batch.ledger import DEATHS, TRIES, Ledger
from scenewise.batch.run import Batch, Choice
from scenewise.errors import InputError


def results(job, name):
    """Pretend that a video's results are there."""
    folder = job.out + "/videos/" + name
    os.makedirs(folder, exist_ok=True)
    facts = {"verdict": "known footage", "objects": 2, "frames": 3, "seconds": 1.0, "files": ["run.json"]}
    facts |= {"interrupted": False, "settings": {"model": {"fingerprint": job.fingerprint}}}
    with open(folder + "/run.json", "w") as file:
        json.dump(facts, file)


@pytest.fixture
def once(job, clips, pretended):
    """Run a batch with a pool that only pretends; returns standing and pool."""

    def run(answer=None, choice=None, job=job, room=2, stop=None):
        def done(task):
            outcome = answer(task) if answer else Outcome(task.name, verdict="known footage", objects=2, frames=3)
            if not outcome.error:
                results(job, task.name)
            return outcome

        pool = pretended(done, room)
        with Batch(job, "tiny", choice) as batch:
            standing = batch.run(batch.plan(list_videos([str(clips)], {})), pool, stop=stop)
            batch.write_pages()
        return standing, pool

    return run


def rows(job, name="ledger.sqlite"):
    ledger = Ledger(job.out + "/" + name, read_only=True)
    found = ledger.rows()
    ledger.close()
    return found


def test_what_is_done_is_skipped_and_what_changed_is_done_again(once, job, clips):
    standing, _ = once()
    assert (standing.done, standing.skipped, standing.left) == (5, 0, 0)
    standing, pool = once()
    assert (standing.done, standing.skipped, pool.given) == (0, 5, [])
    os.utime(clips / "b.mp4", (1, 1))
    standing, pool = once()
    assert (standing.done, standing.skipped, pool.given) == (1, 4, [["b.mp4"]])
    os.remove(job.out + "/videos/a.mp4/run.json")
    assert once()[1].given == [["a.mp4"]]


def test_a_failure_is_tried_three_times_and_set_aside(once, job):
    def answer(task):
        return Outcome(task.name, "is no video." if task.name == "b.mp4" else "", frames=1)

    standing, pool = once(answer)
    assert standing.failed == {"b.mp4": "is no video."}
    assert sum(group.count("b.mp4") for group in pool.given) == TRIES
    assert pool.given[-1] == ["b.mp4"]  # once the others are done
    assert rows(job)["b.mp4"].attempts == TRIES
    standing, pool = once(answer)
    assert (standing.failed, pool.given) == ({"b.mp4": "is no video."}, [])
    standing, pool = once(choice=Choice(retry=True))
    assert (standing.failed, standing.done) == ({}, 1)


def test_a_worker_that_is_killed_costs_no_try(once, job):
    deaths = iter([True] * (DEATHS - 1))

    def answer(task):
        killed = task.name == "b.mp4" and next(deaths, False)
        return Outcome(task.name, "killed" if killed else "", killed=killed)

    standing, _ = once(answer)
    assert (standing.failed, standing.done) == ({}, 5)
    assert (rows(job)["b.mp4"].attempts, rows(job)["b.mp4"].deaths) == (0, DEATHS - 1)


def test_one_that_kills_its_worker_is_set_aside(once):
    standing, _ = once(lambda task: Outcome(task.name, "killed" * (task.name == "b.mp4"), killed=task.name == "b.mp4"))
    assert set(standing.failed) == {"b.mp4"}


def test_results_that_were_whole_before_the_end_came_count(once, job, clips):
    class Killed:
        room, given = 5, ()

        def submit(self, tasks):
            self.given = tasks
            raise SystemExit

    pool = Killed()
    with pytest.raises(SystemExit), Batch(job, "tiny") as batch:
        batch.run(batch.plan(list_videos([str(clips)], {})), pool)
    (name,) = (task.name for task in pool.given)
    results(job, name)
    standing, pool = once()
    assert (standing.skipped, standing.done) == (1, 4)
    assert [name] not in pool.given
    assert rows(job)[name].verdict == "known footage"


def test_other_options_are_refused_until_told(once, job):
    once()
    other = replace(job, request={"slots": 5})
    with pytest.raises(InputError, match="by another model or with other options"):
        once(job=other)
    standing, _ = once(job=other, choice=Choice(overwrite=True))
    assert standing.done == 5


def test_two_batches_in_one_folder_refuse_each_other(job, monkeypatch):
    monkeypatch.setattr("scenewise.batch.run.LOCK_SECONDS", 0.1)
    with Batch(job, "tiny"):
        for choice in (None, Choice(shard=(1, 2))):
            with pytest.raises(InputError, match="another batch is at work"), Batch(job, "tiny", choice):
                pass
    with Batch(job, "tiny", Choice(shard=(1, 2))), Batch(job, "tiny", Choice(shard=(2, 2))):
        for choice in (None, Choice(shard=(1, 2))):
            with pytest.raises(InputError, match="another batch is at work"), Batch(job, "tiny", choice):
                pass


def test_shards_do_everything_once_and_a_whole_run_finds_nothing_left(once, job):
    given = []
    for part in (1, 2, 3):
        _, pool = once(choice=Choice(shard=(part, 3)))
        given += [name for group in pool.given for name in group]
    assert sorted(given) == ["a.mp4", "b.mp4", "c.mkv.mp4", "night/a.mp4", "night/d.mp4"]
    standing, pool = once()
    assert (standing.skipped, pool.given) == (5, [])
    with open(job.out + "/summary.csv", newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done"] * 5


def test_groups_share_out_the_end(once):
    _, pool = once(choice=Choice(group=4), room=2)
    assert [len(group) for group in pool.given] == [3, 2]


def test_stopping_leaves_what_was_under_way(once, job):
    standing, _ = once(stop=lambda: True)
    assert standing.stopped
    assert standing.left == 5
    assert {row.state for row in rows(job).values()} == {"waiting"}


def test_a_full_disk_ends_the_batch_and_costs_no_try(once, job):
    with pytest.raises(InputError, match="Free some space"):
        once(lambda task: Outcome(task.name, "no space left for run.json."))
    assert {row.attempts for row in rows(job).values()} == {0}


def test_tables(once, job):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    once(lambda task: Outcome(task.name, "bad" if task.name == "b.mp4" else "", verdict="no objects", frames=7))
    table = pyarrow.read_table(job.out + "/summary.parquet").to_pylist()
    with open(job.out + "/summary.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [row["name"] for row in table] == [line["name"] for line in lines]
    assert [row["frames"] for row in table] == [7, 0, 7, 7, 7]
    assert lines[1]["error"] == "bad"


def test_a_ledger_of_other_bytes_is_refused(job, tmp_path):
    os.makedirs(job.out)
    with open(job.out + "/ledger.sqlite", "wb") as file:
        file.write(b"no data base at all" * 100)
    with pytest.raises(InputError, match=r"ledger\.sqlite"), Batch(job, "tiny"):
        pass


def test_names_of_any_bytes_stay(job, pretended, tmp_path):
    name = os.fsdecode(b"caf\xe9 <b> #1%.mp4")
    (tmp_path / "odd").mkdir()
    with open(tmp_path / "odd" / name, "wb") as file:
        file.write(b"...")
    with Batch(job, "tiny") as batch:
        batch.run(batch.plan(list_videos([str(tmp_path / "odd")], {})), pretended())
        batch.write_pages()
    assert list(rows(job)) == [name]
    page = Path(job.out, "index.html").read_text(encoding="utf-8")
    assert "videos/caf%E9%20%3Cb%3E%20%231%25.mp4/" in page
    assert "<b>" not in page.split("batch-data")[1].split("</script>")[0]


def test_a_name_as_long_as_names_can_be_has_a_row_and_a_page(job, pretended, tmp_path):
    name = "v" * 251 + ".mp4"
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / name).write_bytes(b"...")
    with Batch(job, "tiny") as batch:
        batch.run(batch.plan(list_videos([str(tmp_path / "long")], {})), pretended())
        batch.write_pages()
    assert list(rows(job)) == [name]
    assert name in Path(job.out, "index.html").read_text(encoding="utf-8")
