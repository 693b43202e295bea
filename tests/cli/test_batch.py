"""scenewise batch: real processes, and every way in which they can end."""

import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.processes import command

from scenewise.media import VideoWriter

COMMAND = (sys.executable, "-m", "scenewise.cli", "batch")


def write_clip(path, frames, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    level = np.random.default_rng(seed).integers(60, 256, 3)
    with VideoWriter(path, (24, 32), 10) as writer:
        for t in range(frames):
            image = np.zeros((24, 32, 3), np.uint8)
            image[4:12, t % 20 : t % 20 + 8] = level
            writer.write(image)


@pytest.fixture
def clips(tmp_path):
    for number, name in enumerate(("a.mp4", "b.mp4", "night/a.mp4")):
        write_clip(tmp_path / "clips" / name, 3 + number, number)
    return tmp_path / "clips"


@pytest.fixture
def batch(scenewise, model, tmp_path):
    def run(*words, out=tmp_path / "out"):
        return scenewise(
            "batch", "--out", out, "--model", model, "--device", "cpu", "--formats", "labels,slots", *words
        )

    return run


def summary(out):
    with open(out / "summary.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def contents(out):
    """The bytes of everything found: what records tell of times and machines is left out."""
    files = sorted(path for path in (out / "videos").rglob("*") if path.suffix in (".npz", ".json"))
    files = [path for path in files if path.name != "run.json"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_folder_from_beginning_to_end(batch, scenewise, model, clips, tmp_path):
    (clips / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    code, told, err = batch(clips, "--workers", 2)
    assert code == 3
    assert "3 done, 0 done before, 1 failed" in told
    assert err.splitlines()[-1] == (  # after lines of progress, on a slow machine
        "error: broken.mp4: expected an mp4, mov, mkv, webm, avi or gif video; found: Invalid data found when "
        "processing input. Check that it plays, or convert it to mp4."
    )
    found = summary(out)
    assert {name: row["state"] for name, row in found.items()} == {
        "a.mp4": "done", "b.mp4": "done", "broken.mp4": "failed", "night/a.mp4": "done",
    }  # fmt: skip
    assert [found[name]["frames"] for name in ("a.mp4", "b.mp4", "night/a.mp4")] == ["3", "4", "5"]
    assert {path.name for path in (out / "videos/night/a.mp4").iterdir()} == {"labels.npz", "slots.json", "run.json"}
    assert (out / "thumbnails/night/a.mp4.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert "videos/night/a.mp4/run.json" in (out / "index.html").read_text()
    words = ("--model", model, "--out", tmp_path / "one", "--formats", "labels", "--device", "cpu")
    scenewise("decompose", clips / "b.mp4", *words)
    assert (tmp_path / "one/b/labels.npz").read_bytes() == (out / "videos/b.mp4/labels.npz").read_bytes()

    code, told, _ = batch(clips, "--json")
    facts = json.loads(told)
    assert code == 3
    assert (facts["done"], facts["skipped"], list(facts["failed"])) == (0, 3, ["broken.mp4"])
    os.remove(clips / "broken.mp4")
    assert batch(clips, "--quiet") == (0, "", "")


@pytest.mark.slow
def test_side_by_side_is_as_one_by_one(batch, clips, tmp_path):
    assert batch(clips, "--workers", 1, "--batch", 3, "--quiet")[0] == 0
    assert batch(clips, "--workers", 1, "--quiet", out=tmp_path / "single")[0] == 0
    for name in ("a.mp4", "b.mp4", "night/a.mp4"):
        one, other = (np.load(tmp_path / out / "videos" / name / "labels.npz")["labels"] for out in ("out", "single"))
        assert (one == other).mean() > 0.999


@pytest.mark.slow
def test_shards_write_side_by_side(batch, clips, tmp_path):
    for part in (1, 2):
        assert batch(clips, "--shard", f"{part}/2", "--quiet")[0] == 0
    code, told, _ = batch(clips)
    assert code == 0
    assert "0 done, 3 done before" in told
    assert batch(clips, "--shard", "3/2")[0] == 2


@pytest.mark.slow
def test_lists_on_standard_input(model, clips, tmp_path):
    words = ("-", "--model", model, "--out", "out", "--formats", "slots", "--device", "cpu", "--quiet")
    subprocess.run([*COMMAND, *words], input="clips/a.mp4\n", text=True, cwd=tmp_path, check=True)
    assert (tmp_path / "out/videos/clips/a.mp4/slots.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "nowhere: names no file, folder or list"),
        (("{clips}", "--workers", "0"), "--workers: must lie in"),
        (("{clips}", "--formats", "maskz"), "Did you mean 'masks'?"),
        (("{clips}", "--batch", "0"), "--batch: must lie in"),
        (("{clips}", "--slots", "0"), "--slots"),
    ],
)
def test_what_cannot_start(batch, clips, tmp_path, words, told):
    code, _, err = batch(*(word.format(clips=clips) for word in words))
    assert code == 2
    assert told in err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing_half(model, clips, tmp_path):
    write_clip(clips / "long.mp4", 1500)
    words = (
        clips,
        "--model",
        model,
        "--out",
        tmp_path / "out",
        "--formats",
        "slots",
        "--device",
        "cpu",
        "--workers",
        1,
    )
    process = command("batch", *words)
    wait_for(lambda: list(tmp_path.glob("out/videos/.long.mp4.*")), process)
    process.send_signal(signal.SIGINT)
    told, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "left: the same command goes on" in told
    assert not list(tmp_path.glob("out/videos/**/.*.part"))
    assert summary(tmp_path / "out")["long.mp4"]["state"] == "waiting"


def wait_for(condition, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid):
    """Numbers of a process's children, by the list of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(re.sub(r".*\) \S ", "", path.read_text()).split()[0]) == pid:
                found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.timeout(900)
def test_twenty_kills_lose_nothing(model, tmp_path):
    """Workers and leaders are killed at random; the end is what an undisturbed batch gives."""
    for number in range(16):
        write_clip(tmp_path / "clips" / f"{number:02d}.mp4", 60, number)
    words = ("clips", "--model", model, "--formats", "slots,labels", "--device", "cpu", "--workers", "2", "--quiet")

    def start(out):
        return subprocess.Popen([*COMMAND, *words, "--out", out], cwd=tmp_path)

    chance, kills, leaders = random.Random(0), 0, 0
    process = start("out")
    while kills < 20:
        time.sleep(chance.uniform(0.2, 2.5))
        workers = children(process.pid)
        if process.poll() is not None:
            assert process.returncode == 0
            shutil.rmtree(tmp_path / "out/videos/00.mp4")  # so that there is something left to do
            process = start("out")
        elif chance.random() < 0.3:
            process.kill()
            process.wait()
            kills, leaders = kills + 1, leaders + 1
            process = start("out")
        elif workers:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                kills += 1
    assert process.wait(300) == 0
    assert leaders > 2
    assert start("calm").wait(300) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")
    assert len(contents(tmp_path / "out")) == 32
    assert not list(tmp_path.glob("out/videos/.*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_ray_cluster_gives_the_same_bytes(batch, clips, tmp_path):
    pytest.importorskip("ray")
    assert batch(clips, "--workers", 2, "--quiet", out=tmp_path / "here")[0] == 0
    (clips / "broken.mp4").write_bytes(b"no video")
    handler = signal.getsignal(signal.SIGTERM)
    code, _, err = batch(clips, "--ray", "local", "--workers", 2)
    assert code == 3, err
    assert signal.getsignal(signal.SIGTERM) is handler, "Ray puts its own there"
    os.remove(tmp_path / "clips/broken.mp4")
    assert contents(tmp_path / "out") == contents(tmp_path / "here")
    assert len(contents(tmp_path / "out")) == 6
