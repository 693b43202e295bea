"""Names of files that are any bytes, and environments that lack what others have."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.processes import Process, command, main_without_streams

from scenewise.cli import command_parser, main
from scenewise.data import SOURCES
from scenewise.media import VideoWriter

ODD_NAMES = {
    "no UTF-8": "caf\udce9.mp4",
    "escape bytes": "a\x1b[31mred.mp4",
    "markup": "<b>bold</b> & [red]x[/red].mp4".replace("/", "_"),
    "a dash": "-dash.mp4",
    "a line end": "two\nlines.mp4",
    "quotes": 'it\'s "so".mp4',
}


@pytest.fixture
def odd_clip(clip, tmp_path):
    def copy(name):
        path = tmp_path / name
        try:
            shutil.copy(clip, path)
        except OSError:
            pytest.skip("this file system takes no such name")
        return path

    return copy


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_a_video_of_any_name_is_taken_apart_and_its_report_shows_the_name_as_text(
    scenewise, strict_model, odd_clip, tmp_path, monkeypatch, name
):
    path = odd_clip(name)
    monkeypatch.chdir(tmp_path)
    code, _, told = scenewise("decompose", f"./{path.name}", "--model", strict_model, "--out", "out", "--device", "cpu")
    assert code == 0, told
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name.isprintable()
    assert not folder.name.startswith("-")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["input"]["origin"].isprintable()
    page = (folder / "report.html").read_bytes().decode("utf-8")
    assert "\x1b" not in page
    assert "<b>bold" not in page
    _, *words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {record['remedy']}"], capture_output=True, check=True
    ).stdout.split(b"\0")[:-1]
    arguments = command_parser([os.fsdecode(word) for word in words]).parse_args([os.fsdecode(word) for word in words])
    assert os.path.samefile(arguments.inputs[0], path), "the command that is proposed names this file"


BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ["experiment"]),
        ({"LANG": "C", "PYTHONUTF8": "0"}, ["train", "--help"]),
        ({"PYTHONIOENCODING": "latin-1", "TERM": "nonsense", "COLUMNS": "0"}, ["experiment"]),
    ],
)
def test_odd_environments_end_in_no_traceback(environment, words):
    process = subprocess.run(
        [sys.executable, "-m", "scenewise.cli", *words], env={**BARE, **environment}, capture_output=True, timeout=120
    )
    assert (process.returncode, b"Traceback" in process.stderr) == (0, False), process.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"HOME": "/proc/nowhere"}, ["data", "list"]),
        ({"MPLBACKEND": "nonsense"}, ["models"]),
        ({"TERM": "nonsense", "COLUMNS": "0"}, ["models"]),
    ],
)
def test_odd_settings_end_in_no_traceback(environment, words):
    process = command(*words, environment=environment)
    told, errors = process.communicate()
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    assert told


def test_closed_streams_stop_nothing_and_a_folder_that_has_gone_is_told(tmp_path):
    assert Process(main_without_streams, ["data", "list"]).wait() == 0
    program = shlex.join([sys.executable, "-m", "scenewise.cli", "experiment"])
    assert subprocess.run(["sh", "-c", f"{program} <&- >&- 2>&-"], env=BARE, timeout=120).returncode == 0
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && {program}"
    process = subprocess.run(["sh", "-c", script], env=BARE, timeout=120, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr == "error: the current folder: is no longer there. Change to another, as in: cd ~\n"


def test_a_home_that_cannot_be_written_is_told_with_what_to_set(scenewise, tmp_path, monkeypatch):
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, (48, 80), 10) as writer:
        for t in range(40):
            image = np.full((48, 80, 3), (90, 120, 150), np.uint8)
            image[16:32, t : t + 16] = (220, 40, 40)
            writer.write(image)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    words = ["train", "footage", "--data", clip, "--out", tmp_path / "run", "--dry-run"]
    clips = ["data.settings.clip_length=1", "data.settings.gap=0", "data.settings.shares=[0.6,0.2,0.2]"]
    curriculum = ["training.curriculum=[[0,1]]"]
    code, _, told = scenewise(*words, *clips, *curriculum)
    assert code == 2
    assert "Set cache=FOLDER (data.settings.cache in training), or XDG_CACHE_HOME" in told
    assert scenewise(*words, *clips, *curriculum, f"data.settings.cache={tmp_path / 'cache'}")[0] == 0


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    from scenewise.data.containers.cache import user_cache
    from scenewise.data.footage.cache import default_folder
    from scenewise.errors import InputError

    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", none)
    assert user_cache() is None
    with pytest.raises(InputError, match="this user has no home"):
        default_folder()


@pytest.fixture(scope="module")
def scene():
    """The sum of a scene drawn where no window system is asked for."""
    pytest.importorskip("mujoco")
    return int(SOURCES.get("clevr6")("test").sample(0).frames.sum())


def findings_and_a_scene():
    assert "mujoco" not in sys.modules, "it reads its setting when it is imported"
    main(["doctor"])
    print(int(SOURCES.get("clevr6")("test").sample(0).frames.sum()))
    return 0


@pytest.mark.parametrize("choice", ["osmesa", "nonsense"])
def test_scenes_are_drawn_whatever_window_system_is_asked_for(scene, choice):
    process = Process(findings_and_a_scene, environment={"MUJOCO_GL": choice})
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    findings, _, total = told.strip().rpartition("\n")
    assert int(total) == scene
    assert f"MUJOCO_GL={choice}" in findings
    assert "Run: unset MUJOCO_GL" in findings or choice != "nonsense"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_during_any_verb_ends_it_as_ctrl_c_does(name):
    code = (
        "import signal, sys\n"
        "from scenewise.cli import doctor, main\n"
        f"number = signal.{name}\n"
        "before = signal.getsignal(number)\n"
        "doctor.run = lambda args: signal.raise_signal(number) or print('went on')\n"
        "ended = main(['doctor'])\n"
        "sys.exit(ended if signal.getsignal(number) is before else 1)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], env=BARE, capture_output=True, text=True, timeout=120)
    assert process.returncode == 143, process.stderr
    assert "interrupted" in process.stderr
    assert "went on" not in process.stdout


def test_a_stream_can_be_chosen_on_the_command_line(ffmpeg, scenewise, model, tmp_path):
    maps = ("-map", "0:v", "-map", "0:v", "-filter:v:0", "scale=32:24", "-pix_fmt", "yuv420p", "-c:v", "libx264")
    picture = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=12:duration=1")
    ffmpeg(*picture, *maps, "-disposition:v:0", "0", "-disposition:v:1", "default", tmp_path / "two.mp4")
    common = ["decompose", tmp_path / "two.mp4", "--model", model, "--device", "cpu", "--formats", "tracks"]
    code, told, _ = scenewise(*common, "--out", tmp_path / "out")
    assert code == 0
    assert "note: holds 2 videos: 0 (32x24), 1 (64x48); read is 1, the default." in told
    code, told, _ = scenewise(*common, "--out", tmp_path / "chosen", "--stream", 0)
    assert (code, "note:" in told) == (0, False)
    record = json.loads((tmp_path / "chosen" / "two" / "run.json").read_text())
    assert (record["settings"]["input"]["source_size"], record["settings"]["input"]["stream"]) == ([24, 32], 0)
    assert scenewise(*common, "--out", tmp_path / "bad", "--stream", -1)[0] == 2


def test_the_command_that_is_proposed_for_arrays_can_be_followed(scenewise, strict_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.zeros((40, 48, 48, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[10:20, index % 36 : index % 36 + 12] = 255
    np.savez("my clips.npz", frames=frames, more=frames[:2])
    words = [
        "decompose",
        "my clips.npz",
        "--model",
        strict_model,
        "--device",
        "cpu",
        "--formats",
        "tracks",
        "--out",
        "out",
    ]
    assert scenewise(*words, "--layout", "THWC", "--key", "frames")[0] == 0
    remedy = json.loads((tmp_path / "out" / "my_clips" / "run.json").read_text())["remedy"]
    program, *words = shlex.split(remedy)
    assert program == "scenewise"
    arguments = command_parser(words).parse_args(words)
    assert (arguments.inputs, arguments.layout, arguments.key) == (["my clips.npz"], "THWC", "frames")
    assert arguments.learn > 0
