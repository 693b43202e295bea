"""Where results cannot go: a pipe, a device or a file in the place of --out is refused at once, and stays as it was."""

import os
import shutil
import stat
import subprocess
import sys

import pytest
from PIL import Image
from tests.cli.refusals import refused
from tests.processes import Process, main_on_a_small_disk

from scenewise.checkpoint import Card

RUN = ("training.steps=1", "training.device=cpu")
VERBS = {
    "demo": ("demo", "--model", "MODEL"),
    "decompose": ("decompose", "CLIP", "--model", "MODEL"),
    "decompose --learn": ("decompose", "CLIP", "--learn", "1"),
    "predict": ("predict", "CLIP", "--observe", "2", "--steps", "2", "--model", "MODEL"),
    "batch": ("batch", "CLIP", "--model", "MODEL"),
    "serve": ("serve", "--model", "MODEL", "--port", "0"),
    "sample": ("sample", "GENESIS"),
    "traverse": ("traverse", "IODINE", "CLIP"),
    "refine": ("refine", "IODINE", "CLIP"),
    "render": ("render", "cle-mv#3", "--observe", "0", "--model", "MULMON"),
    "train": ("train", "provide-tiny", *RUN),
    "train --resume": ("train", "--resume"),
    "experiment": ("experiment", "lds", "--size", "smoke"),
    "experiment all": ("experiment", "all", "--size", "smoke"),
    "data make": ("data", "make", "balls-binary", "--samples", "1"),
    "data make, png": ("data", "make", "balls-binary", "--samples", "1", "--format", "png"),
    "data show": ("data", "show", "balls-binary"),
}
"""Words of each verb that writes a folder."""
FILES = {
    "data make, h5": (("data", "make", "balls-binary", "--samples", "1", "--format", "h5"), ""),
    "data show, a sheet": (("data", "show", "balls-binary"), ".png"),
    "background": (("background", "CLIP"), ".png"),
    "experiment --page": (("experiment", "--page", "OUT"), ".md"),
    "evaluate --json": (("evaluate", "MODEL", "--data", "balls-colour", "--json", "OUT"), ".json"),
    "bench --json": (("bench", "iodine", "--json", "OUT"), ".json"),
    "bench --plot": (("bench", "--sweep", "--plot", "OUT"), ".svg"),
    "data bench --json": (("data", "bench", "balls-binary", "--json", "OUT"), ".json"),
}
"""Words of each verb that writes a file, and how its name ends."""


@pytest.fixture(scope="session")
def models(model, untrained):
    names = ("genesis", "iodine", "mulmon")
    return {"MODEL": model, **{name.upper(): untrained(name, Card(name=name)) for name in names}}


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/null")


def file(path):
    path.write_text("mine")


def unchanged(path, make):
    if make is pipe:
        return stat.S_ISFIFO(path.stat().st_mode)
    return os.readlink(path) == "/dev/null" if make is device else path.read_text() == "mine"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("make", [pipe, device, file])
@pytest.mark.parametrize("name", VERBS)
def test_a_folder_is_not_made_in_place_of_what_is_none(here, capsys, models, clip, name, make):
    make(here / "out")
    words = [{**models, "CLIP": clip}.get(word, word) for word in VERBS[name]]
    refused(capsys, *words, "--out", here / "out")
    assert unchanged(here / "out", make)
    assert [path.name for path in here.iterdir() if path.name != "cache"] == ["out"]


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_not_put_in_place_of_a_pipe_or_a_device(here, capsys, models, clip, name, make):
    words, ending = FILES[name]
    out = here / f"out{ending}"
    make(out)
    words = [{**models, "CLIP": clip, "OUT": out}.get(word, word) for word in words]
    refused(capsys, *words, *(() if out in words else ("--out", out)))
    assert unchanged(out, make)
    assert [path.name for path in here.iterdir() if path.name != "cache"] == [out.name]


TRAIN = """
mount -t tmpfs -o size=300k full "$1" && cd "$1" || exit 77
shift
"$@" --out run; echo "first $?"
find . -name '*.part' -o -name '*.tmp'
mount -o remount,size=4m full .
"$@" --resume --out run; echo "then $?"
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_training_whose_disk_is_full_goes_on_once_there_is_space(tmp_path):
    isolated = [shutil.which("unshare") or "", "--map-root-user", "--mount"]
    if not isolated[0] or subprocess.run([*isolated, "mount", "-t", "tmpfs", "x", str(tmp_path)]).returncode:
        pytest.skip("no small file system can be mounted here")
    words = ["provide-tiny", *RUN[1:], "training.steps=4", "training.batch=2", "training.curriculum=[[0, 1]]",
             "training.checkpoint_every=1"]  # fmt: skip
    command = [sys.executable, "-m", "scenewise.cli", "train"]
    script = TRAIN.replace('"$@" --resume', " ".join([*command, "--resume"]))
    done = subprocess.run(
        [*isolated, "sh", "-c", script, "sh", str(tmp_path), *command, *words], capture_output=True, text=True
    )
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "first 2\nthen 0" in outcome(done.stdout), done.stderr


def outcome(text):
    """Return the lines that the script itself printed, and files that were half-written."""
    lines = [line for line in text.splitlines() if line.startswith(("first", "then", "./"))]
    return "\n".join(lines)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
@pytest.mark.parametrize("form", ["png", "h5", "npy"])
def test_data_that_find_the_disk_full_leave_nothing(tmp_path, form):
    out = "data.h5" if form == "h5" else "data"
    words = f"data make balls-binary --samples 8 --format {form} --set size=64 frames=20 --out {out}"
    if form == "h5":
        words = words.replace("size=64 ", "")
    process = Process(main_on_a_small_disk, words.split(), str(tmp_path), 64)
    told, errors = process.communicate()
    if process.returncode == 77:
        pytest.skip("no small file system can be mounted here")
    assert process.returncode == 2, errors
    assert told.splitlines()[-1] == ""  # no file
    assert "no space left" in errors
    assert "Traceback" not in errors


REPLACED = {
    "decompose": ("decompose", "HERE/frames", "--model", "MODEL", "--out", "HERE"),
    "decompose, all around": ("decompose", "HERE/frames/inner/frames", "--model", "MODEL", "--out", "HERE"),
    "decompose, the model": ("decompose", "CLIP", "--model", "HERE/clip/model", "--out", "HERE"),
    "predict": ("predict", "HERE/frames", "--observe", "2", "--steps", "1", "--model", "MODEL", "--out", "HERE"),
    "traverse": ("traverse", "IODINE", "HERE/frames", "--out", "HERE/frames"),
    "refine, from below": ("refine", "IODINE", "HERE/frames", "--out", "HERE"),
    "sample": ("sample", "HERE/genesis", "--out", "HERE/genesis"),
    "render": ("render", "cle-mv#0", "--observe", "0", "--model", "HERE/mulmon", "--out", "HERE/mulmon"),
    "demo": ("demo", "--model", "HERE/clip/model", "--out", "HERE/clip"),
    "data make": (
        "data",
        "make",
        "HERE/frames",
        "--samples",
        "1",
        "--split",
        "train",
        "--format",
        "png",
        "--out",
        "HERE",
    ),
}


@pytest.mark.parametrize("name", REPLACED)
def test_results_do_not_replace_what_they_are_of(here, capsys, models, clip, name):
    for where in ("frames", "frames/inner/frames"):
        (here / where).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (16, 16), (9 * number, 0, 0)).save(here / where / f"{number}.png")
    for kind, place in (("MODEL", "clip/model"), ("GENESIS", "genesis"), ("MULMON", "mulmon")):
        shutil.copytree(models[kind], here / place)
    before = sorted(here.rglob("*"))
    known = {**models, "CLIP": clip}
    words = [known.get(word, word.replace("HERE", str(here))) for word in REPLACED[name]]
    assert "which is read; it would be replaced" in refused(capsys, *words, "--overwrite")
    assert sorted(here.rglob("*")) == before
