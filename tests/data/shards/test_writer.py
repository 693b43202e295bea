"""Made folders: the same bytes whoever makes them, whole or not at all, and the same videos again."""

import json
import os
import signal
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.processes import Process

from scenewise.data import SOURCES
from scenewise.data.contract import Facts, Sample, Source, SourceMaker
from scenewise.data.shards import manifest as made
from scenewise.data.shards.check import check, same
from scenewise.data.shards.layouts import LAYOUTS, layout
from scenewise.data.shards.packing import Span, flatten, pack, unflatten, unpack
from scenewise.data.shards.reader import MadeSource
from scenewise.data.shards.writer import make, make_plan
from scenewise.errors import InputError

SMALL = {"frames": 4, "size": 16}
VARIED = {**SMALL, "min_balls": 1, "max_balls": 5}


def plan_of(samples=10, format="npy", shard=4, split="test", name="balls", **settings):
    return make_plan(name, split, {**VARIED, **settings}, samples, format, shard)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def folder(tmp_path):
    make(plan_of(), tmp_path / "made")
    return tmp_path / "made"


@pytest.mark.parametrize("format", LAYOUTS)
def test_videos_are_those_made_on_the_fly(tmp_path, format):
    for name, settings in (("balls", VARIED), ("moving-sprites", {"frames": 3, "size": 16})):
        out = tmp_path / name
        make(make_plan(name, "train", settings, 7, format, 4), out)
        there, source = MadeSource(out, "train"), SOURCES.get(name)(split="train", **settings)
        assert there.facts == source.facts
        assert len(there) == 7
        for index in range(7):
            assert same(there.sample(index), source.sample(index))
        if source.facts.frames > 1:
            assert same(there.sample(5, 1, 2), source.sample(5, 1, 2))
        if hasattr(source, "samples"):
            assert all(same(one, source.sample(n)) for n, one in zip((5, 2), source.samples([5, 2]), strict=True))
        for one, other in zip(there.batch([6, 2]), source.batch([6, 2]), strict=True):
            np.testing.assert_array_equal(one, other)
        with pytest.raises(IndexError):
            there.sample(7)


def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    make(plan_of(), tmp_path / "one")
    told = []
    make(plan_of(), tmp_path / "two", workers=2, progress=lambda done, total: told.append((done, total)))
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert told[-1] == (10, 10)


def test_bytes_do_not_depend_on_when_they_are_made(tmp_path):
    for name in "ab":
        for format in LAYOUTS:
            make(plan_of(3, format), tmp_path / name / format)
        time.sleep(1 - time.time() % 1)  # file formats note seconds
    assert files(tmp_path / "a") == files(tmp_path / "b")


def make_slowly(format, out, workers=1, frames=SMALL["frames"]):
    """Make shards with a pause after every video."""
    plan = plan_of(format=format, frames=frames)
    make(plan, Path(out), workers=workers, progress=lambda *_: time.sleep(0.05))


@pytest.mark.parametrize("format", ["npy", *(pytest.param(name, marks=pytest.mark.slow) for name in LAYOUTS[1:])])
def test_a_killed_process_leaves_whole_shards_and_the_next_one_continues(tmp_path, format):
    make(plan_of(format=format), tmp_path / "whole")
    process = Process(make_slowly, format, str(tmp_path / "killed"))
    record = tmp_path / "killed" / "test" / made.MAKING / "00000.json"
    while not record.exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.07)  # in the middle of the second shard
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = record.stat().st_mtime_ns
    first = next((tmp_path / "killed" / "test").glob("00000.*")).stat()
    with pytest.raises(InputError, match="of 3 shards"):
        MadeSource(tmp_path / "killed", "test")
    outcome = make(plan_of(format=format), tmp_path / "killed")
    assert 1 <= outcome.kept < 3
    assert next((tmp_path / "killed" / "test").glob("00000.*")).stat().st_mtime_ns == first.st_mtime_ns <= kept
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_halves_are_never_read_and_are_cleared_away(tmp_path, folder):
    begun = tmp_path / "begun"
    count = iter(range(100))
    outcome = make(plan_of(), begun, stop=lambda: next(count) >= 5)
    assert outcome.manifest is None
    assert (outcome.whole, outcome.total) == (1, 3)
    (begun / "test" / ".00001.npy.1.part").write_bytes(b"half")
    (begun / "test" / "00001.npy").write_bytes(b"half")  # renamed, but not noted
    make(plan_of(), begun)
    assert files(begun) == files(folder)


def test_stopping_and_going_on_with_processes(tmp_path, folder):
    begun = tmp_path / "begun"
    started = time.monotonic()
    outcome = make(plan_of(frames=200), begun, workers=2, stop=lambda: time.monotonic() > started + 0.1)
    assert outcome.whole < outcome.total
    assert made.read_plan(begun / "test") is not None


def damage(path, kind):
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif kind == "truncated":
        path.write_bytes(content[:-7])
    else:
        path.unlink()


@pytest.mark.parametrize("kind", ["flipped", "truncated", "missing"])
@pytest.mark.parametrize("format", LAYOUTS)
def test_damage_is_found_and_repaired(tmp_path, kind, format):
    out = tmp_path / "made"
    make(plan_of(format=format), out)
    before = files(out)
    (finding,) = check(out)
    assert not finding.broken
    assert finding.compared == 8
    for suffix in layout(format).SUFFIXES:
        damage(out / "test" / f"00001{suffix}", kind)
        (finding,) = check(out)
        assert list(finding.broken) == ["00001"]
        assert f"00001{suffix}" in finding.broken["00001"]
        outcome = make(plan_of(format=format), out)
        assert outcome.kept == 2
        assert files(out) == before


def test_videos_that_are_not_the_sources_are_found(folder):
    path = folder / "test" / "00000.npy"
    damage(path, "flipped")
    content = json.loads((folder / "test" / made.MANIFEST).read_text())
    content["shards"][0]["files"][".npy"] = made.hashed(path)
    (folder / "test" / made.MANIFEST).write_text(json.dumps(content))
    (finding,) = check(folder, samples=10)
    assert list(finding.broken) == ["00000"]
    assert "made again" in finding.broken["00000"]


def test_a_generator_that_changed_is_told_but_nothing_is_called_broken(folder, monkeypatch):
    monkeypatch.setattr("scenewise.data.generated.balls.source.BallsSource.version", 99)
    (finding,) = check(folder)
    assert not finding.broken
    assert finding.compared == 0
    assert "other data now" in finding.note


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"samples": 11}, "samples is 10 there, 11 asked for"),
        ({"format": "hdf5"}, "format"),
        ({"shard": 5}, "videos per shard"),
        ({"seed": 3}, "seed is 0 there, 3 asked for"),
        ({"max_balls": 6}, "max_balls"),
        ({"name": "balls-colour8"}, "source is balls there"),
    ],
)
def test_other_arguments_are_refused(folder, changed, named):
    before = files(folder)
    with pytest.raises(InputError, match=named):
        make(plan_of(**changed), folder)
    assert files(folder) == before


def test_splits_lie_side_by_side_and_are_of_the_same_data(folder):
    make(plan_of(3, split="train"), folder)
    assert set(made.made_splits(folder)) == {"train", "test"}
    assert not same(MadeSource(folder, "train").sample(0), MadeSource(folder, "test").sample(0))
    assert len(MadeSource(folder / "train", "train")) == 3
    with pytest.raises(InputError, match="as split train"):
        make(plan_of(3, split="validation", max_balls=2), folder)
    for path, split, named in ((folder, "validation", "train, test"), (folder / "train", "test", "is split train")):
        with pytest.raises(InputError, match=named):
            MadeSource(path, split)


def test_what_is_there_is_not_overwritten_unless_asked(tmp_path, folder):
    (tmp_path / "other" / "test").mkdir(parents=True)
    (tmp_path / "other" / "test" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="something else"):
            make(plan_of(), tmp_path / "other", overwrite=overwrite)
    make(plan_of(3), folder, overwrite=True)
    assert len(MadeSource(folder, "test")) == 3


def test_two_cannot_make_the_same_folder(tmp_path):
    seen = []

    def again(done, total):
        with pytest.raises(InputError, match="another process"):
            make(plan_of(), tmp_path)
        seen.append(done)

    make(plan_of(2), tmp_path / "other", progress=lambda *_: seen.append(0))
    make(plan_of(), tmp_path, progress=again)
    assert seen[-1] == 10


def test_reading_a_video_takes_the_memory_of_a_few(tmp_path):
    plan = make_plan("balls", "test", {"frames": 5}, 16, "npy", 16)
    for format in LAYOUTS:
        make(replace(plan, layout=format), tmp_path / format)
        source = MadeSource(tmp_path / format, "test")
        one = source.sample(0)
        size = one.frames.nbytes + one.ids.nbytes + sum(np.asarray(value).nbytes for value in one.extras.values())
        tracemalloc.start()
        source.sample(9)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * size


class Ragged(Source):
    """Videos of several lengths with every kind of extra."""

    facts = Facts(channels=1, size=(5, 6), frames=None, max_objects=None)
    split = "test"

    def __init__(self, split="test"):
        pass

    @classmethod
    def create(cls, name, split, settings, progress=None):
        return cls(split)

    def __len__(self):
        return 6

    def fingerprint(self):
        return "ragged"

    def length(self, index):
        return index + 1

    def sample(self, index, start=0, frames=None):
        rng = np.random.default_rng(index)
        stop = index + 1 if frames is None else start + frames
        frames = rng.integers(0, 256, (index + 1, 1, 5, 6), np.uint8)
        ids = rng.integers(-1, 300, (index + 1, 5, 6))
        track = rng.normal(size=(index + 1, index, 2)).astype(np.float32)
        extras = {
            "track": track[start:stop],
            "moments": [f"t{t}" for t in range(index + 1)][start:stop],
            "words": np.array([["cube", "kegel", "ü"][index % 3]] * index),
            "empty": np.zeros((0, 3)),
            "colour": (0.1, float("nan"), None),
            "nested": {"deep": {"x/y.z": np.arange(index)}, "text": "mühe"},
            "number": np.float32(0.3),
            "large": rng.normal(size=(5000,)) if index % 2 else rng.normal(size=(2, 2)),
            "raw": b"\x00\xff",
        }
        if index == 2:
            extras["only here"] = {"a": [1, (2, 3)], 4: "key"}
        return Sample(frames[start:stop], ids[start:stop], extras)


@pytest.mark.parametrize("format", LAYOUTS)
def test_lengths_may_differ_and_every_extra_comes_back(tmp_path, format):
    with SOURCES.trial():
        SOURCES.register("ragged")(SourceMaker("ragged", Ragged, {}))
        make(make_plan("ragged", "test", {}, 6, format, 4), tmp_path)
    there, source = MadeSource(tmp_path, "test"), Ragged()
    assert set(there.plan.per_frame) >= {"track", "moments"}
    for index in range(6):
        assert there.length(index) == index + 1
        assert same(there.sample(index), source.sample(index))
    assert same(there.sample(5, 1, 3), source.sample(5, 1, 3))


def test_packing_keeps_names_and_nesting():
    extras = {"a.b": 1, "c/d": {"e%": 2, "f": {}}, "g": {3: 4}}
    assert unflatten(flatten(extras)) == extras
    frames = np.zeros((1, 1, 2, 2), np.uint8)
    samples = [Sample(frames, None, {"p": np.arange(n), "a.b": np.ones(2)}) for n in (2, 0, 5)]
    arrays = pack(samples, False)
    assert arrays["extras/p"].shape == (3, 5)
    assert arrays["extras/p.shape"].ravel().tolist() == [2, 0, 5]
    for row, sample in enumerate(samples):
        assert same(unpack(arrays, row, Span()), sample)


@pytest.mark.parametrize(
    "words",
    [
        {"samples": 0},
        {"samples": 10**9},
        {"shard": 0},
        {"format": "zip"},
        {"name": "bals"},
        {"split": "tset"},
        {"frames": 0},
    ],
)
def test_what_cannot_be_made_is_said_before_anything_is_written(words):
    with pytest.raises(InputError):
        plan_of(**words)


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path):
    process = Process(make_slowly, "npy", str(tmp_path), 2, 2000)
    children = []
    while len(children) < 2:
        assert process.poll() is None
        time.sleep(0.05)
        children = _children(process.pid)
    process.kill()
    process.wait()
    for _ in range(200):
        if not any(_alive(child) for child in children):
            break
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if not os.path.exists("/proc/self/task"):
    test_workers_end_with_the_process_that_started_them = pytest.mark.skip(reason="needs /proc")(
        test_workers_end_with_the_process_that_started_them
    )
