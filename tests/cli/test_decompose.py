"""scenewise decompose: good input, every bad input, and interruptions."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import struct
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.cli.conftest import write_clip
from tests.processes import Process, command, main_on_a_full_disk, main_on_terminal, main_without

from scenewise.decompose import FORMATS
from scenewise.media import read_palette_png

FILES = {"overlay.mp4", "masks", "masks.json", "masks_results.json", "tracks.csv", "labels.npz", "slots.json"}
FILES |= {"report.html", "run.json"}


@pytest.fixture
def decompose(scenewise, model, tmp_path):
    def run(*words, out=tmp_path / "out", using=model):
        return scenewise("decompose", "--model", using, "--out", out, "--device", "cpu", *words)

    return run


def record(folder):
    return json.loads((Path(folder) / "run.json").read_text())


def test_everything_is_written(decompose, clip, tmp_path):
    code, out, err = decompose(clip)
    assert code == 0
    assert err == ""
    assert {p.name for p in (tmp_path / "out" / "clip").iterdir()} == FILES
    assert "8 frames" in out
    assert "report.html" in out
    assert record(tmp_path / "out" / "clip")["settings"]["input"]["source_size"] == [48, 64]


def test_a_model_that_cannot_be_compiled_is_refused(decompose, clip):
    code, _, err = decompose(clip, "--compile", using="monet-multi-dsprites")
    assert code == 2
    assert "monet has no decodes of iterative inference that can be compiled" in err


def test_options_reach_the_model_and_the_record(decompose, clip, tmp_path):
    words = "--slots 5 --refinements 2 --seed 7 --crop 8,0,32,32 --every 2 --start 1 --size 16 --formats slots,labels"
    code, _, _ = decompose(clip, *words.split())
    assert code == 0
    found = record(tmp_path / "out" / "clip")
    settings = found["settings"]
    assert (settings["slots"], settings["refinements"], settings["seed"]) == (5, 2, 7)
    assert settings["input"]["crop"] == [8, 0, 32, 32]
    assert settings["input"]["every"] == 2
    assert found["frames"] == 4
    assert found["files"] == ["labels.npz", "slots.json", "run.json"]


@pytest.mark.parametrize(("text", "size"), [("40", (40, 40)), ("24,30", (24, 30)), ("8x9", (8, 9))])
def test_results_of_any_size(decompose, clip, tmp_path, text, size):
    assert decompose(clip, "--size", text)[0] == 0
    folder = tmp_path / "out" / "clip"
    assert {p.name for p in folder.iterdir()} == FILES
    assert read_palette_png(folder / "masks" / "00003.png").shape == size
    with np.load(folder / "labels.npz") as archive:
        assert archive["labels"].shape == (8, *size)
    taken = record(folder)["settings"]["input"]
    assert (taken["size"], taken["model_size"], taken["source_size"]) == (list(size), [16, 16], [48, 64])


def test_the_size_changes_no_error(decompose, tmp_path):
    for out, words in (("own", ()), ("large", ("--size", 50))):
        assert decompose("balls#2", "--formats", "slots", *words, out=tmp_path / out)[0] == 0
    own, large = (record(tmp_path / out / "balls-2") for out in ("own", "large"))
    assert own["mse"] == large["mse"]
    assert own["verdict"] == large["verdict"]


@pytest.mark.parametrize("slots", [1, 64])
def test_extreme_numbers_of_slots(decompose, clip, tmp_path, slots):
    assert decompose(clip, "--slots", slots, "--stop", 2)[0] == 0
    assert len(json.loads((tmp_path / "out" / "clip" / "slots.json").read_text())["slots"]) == slots


def test_inputs_of_one_name_are_told_apart(decompose, clip, tmp_path):
    other = tmp_path / "clip.mp4"
    shutil.copy(clip, other)
    code, out, _ = decompose(clip, other, "--formats", "slots")
    assert code == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"clip", "clip-2"}
    assert "2 done" in out


def test_one_bad_input_does_not_stop_the_others(decompose, clip, tmp_path):
    code, out, err = decompose("missing.mp4", clip, tmp_path, "--formats", "slots")
    assert code == 2
    assert "missing.mp4" in err
    assert "1 done, 2 failed" in out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["clip"]


def test_unknown_footage_is_said_plainly(decompose, clip, strict_model, tmp_path):
    code, out, _ = decompose(clip, using=strict_model)
    assert code == 0
    assert "does not know this footage" in out
    assert f"scenewise decompose {clip} --out objects --learn 5" in out
    assert "objects, median" not in out
    slots = json.loads((tmp_path / "out" / "clip" / "slots.json").read_text())
    assert slots["verdict"] == "unknown footage"
    assert slots["objects"] == []


def test_videos_of_a_source_are_scored(decompose, tmp_path):
    code, out, _ = decompose("balls#2", "--formats", "slots")
    assert code == 0
    assert "provide" in out
    assert "savi" in out
    assert record(tmp_path / "out" / "balls-2")["settings"]["input"]["origin"] == "balls#2"
    assert decompose("balls#99999999")[0] == 2
    assert decompose("bals#1")[0] == 2


def test_arrays_need_a_layout(decompose, tmp_path):
    np.save(tmp_path / "two.npy", np.zeros((2, 3, 16, 16), bool))
    code, _, err = decompose(tmp_path / "two.npy")
    assert code == 2
    assert "--layout" in err
    assert decompose(tmp_path / "two.npy", "--layout", "NTHW", "--formats", "slots")[0] == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"two_0", "two_1"}


# -- files that are odd, and read all the same ----------------------------------------------------------------------


def folder_of(path, *images):
    path.mkdir()
    for t, image in enumerate(images):
        image.save(path / f"{t}.png")
    return path


def rotated(path):
    """An mp4 that is to be shown turned by 90 degrees."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for t in range(3):
            image = np.full((16, 32, 3), 40 * t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    at = content.rindex(upright)
    content[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))
    return path


def variable_rate(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for pts in (0, 1, 7, 8, 30):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 32, 3), np.uint8), format="rgb24")
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def odd_inputs():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (20, 20), dtype=np.uint8)
    rgba = rng.integers(0, 255, (20, 20, 4), dtype=np.uint8)
    return {
        "one pixel": lambda p: folder_of(p / "in", Image.new("RGB", (1, 1), "red")),
        "16 bit": lambda p: folder_of(p / "in", Image.fromarray(grey.astype(np.uint16) * 257)),
        "grey": lambda p: folder_of(p / "in", Image.fromarray(grey)),
        "rgba": lambda p: folder_of(p / "in", Image.fromarray(rgba)),
        "rotated": lambda p: rotated(p / "in.mp4"),
        "variable frame rate": lambda p: variable_rate(p / "in.mp4"),
    }


@pytest.mark.parametrize("kind", odd_inputs())
def test_odd_files_are_read(decompose, tmp_path, kind):
    given = odd_inputs()[kind](tmp_path)
    code, _, err = decompose(given)
    assert (code, err) == (0, "")
    assert {p.name for p in (tmp_path / "out" / "in").iterdir()} == FILES
    if kind == "rotated":
        assert record(tmp_path / "out" / "in")["settings"]["input"]["source_size"] == [32, 16]


def test_a_video_of_one_frame(decompose, clip, tmp_path):
    assert decompose(clip, "--stop", 1)[0] == 0
    assert record(tmp_path / "out" / "clip")["frames"] == 1


def test_a_truncated_file_gives_the_frames_there_are_or_an_error(decompose, clip, tmp_path):
    content = Path(clip).read_bytes()
    for share in (0.3, 0.9):
        (tmp_path / "cut.mp4").write_bytes(content[: int(share * len(content))])
        code, _, err = decompose(tmp_path / "cut.mp4", "--overwrite")
        assert code in (0, 2)
        assert (code == 2) == ("cut.mp4" in err)
        assert (tmp_path / "out").exists() == (code == 0)


def test_the_malformed_avi_takes_nothing_down(decompose, shared_data, tmp_path):
    code, _, err = decompose(shared_data / "video" / "malformed_rawdib.avi", "--formats", "slots", "--stop", 4)
    assert code in (0, 2)
    assert (code == 2) == ("malformed_rawdib.avi" in err)


# -- files that cannot be used --------------------------------------------------------------------------------------


def audio(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    shutil.move(path, path.with_suffix(".avi"))
    return path.with_suffix(".avi")


def written(path, content):
    path.write_bytes(content)
    return path


def made(path):
    path.mkdir()
    return path


def saved(path, values):
    np.save(path, values)
    return path


def bad_inputs():
    return {
        "missing": lambda p: p / "in.mp4",
        "empty": lambda p: written(p / "in.mp4", b""),
        "corrupt": lambda p: written(p / "in.mp4", b"no video at all" * 100),
        "no video": lambda p: written(p / "in.txt", b"text"),
        "audio only": lambda p: audio(p / "in.wav"),
        "empty folder": lambda p: made(p / "in"),
        "mixed sizes": lambda p: folder_of(p / "in", Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))),
        "zero frames": lambda p: saved(p / "in.npy", np.zeros((0, 16, 16, 3), np.uint8)),
        "nan": lambda p: saved(p / "in.npy", np.full((2, 16, 16, 3), np.nan, np.float32)),
        "pickle": lambda p: saved(p / "in.npy", np.array([{}, {}])),
    }


@pytest.mark.parametrize("kind", bad_inputs())
def test_bad_files_are_named_and_leave_nothing(decompose, tmp_path, kind):
    given = bad_inputs()[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    layout = ["--layout", "THWC"] if given.suffix == ".npy" else []
    code, _, err = decompose(given, *layout)
    assert code == 2
    assert err.startswith("error: ")
    assert given.name in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--slots 0", "slots"),
        ("--slots 1000", "slots"),
        ("--refinements 0", "refinements"),
        ("--size 7", "--size: height and width must be whole numbers in [8, 2048]"),
        ("--size 64,4000", "[8, 2048]"),
        ("--size 1,2,3", "--size"),
        ("--size large", "--size"),
        ("--crop 1,2,3", "--crop"),
        ("--crop 0,0,0,5", "crop"),
        ("--crop 0,0,100,100", "inside"),
        ("--every 0", "every"),
        ("--start -1", "start"),
        ("--start 3 --stop 2", "stop"),
        ("--seed -1", "seed"),
        ("--formats overlay,movie", "movie"),
        ("--device gpu", "gpu"),
    ],
)
def test_bad_options_are_named_before_anything_is_made(decompose, clip, tmp_path, words, message):
    code, _, err = decompose(clip, *words.split())
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_checked_once(decompose, clip, monkeypatch):
    from scenewise.decompose import clip as clips
    from scenewise.decompose import result

    checked, check = [], clips.checked_size
    for module in (result, clips):
        monkeypatch.setattr(module, "checked_size", lambda size: checked.append(size) or check(size))
    assert decompose(clip, "--size", "24,40", "--formats", "labels")[0] == 0
    assert checked == [(24, 40)]


def test_help_lists_every_format(scenewise):
    code, out, _ = scenewise("decompose", "--help")
    assert code == 0
    told = " ".join(out.split())
    assert all(f"{name} (" in told for name in FORMATS.names())
    assert "masks/%05d.png" in told


def test_a_gpu_where_there_is_none(scenewise, clip, model, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code, _, err = scenewise("decompose", clip, "--model", model, "--out", tmp_path / "out", "--device", "cuda")
    assert code == 2
    assert "--device cpu" in err


# -- folders that cannot be used ------------------------------------------------------------------------------------


def test_results_are_replaced_only_when_asked(decompose, clip, tmp_path):
    assert decompose(clip, "--formats", "slots")[0] == 0
    code, _, err = decompose(clip)
    assert code == 2
    assert "--overwrite" in err
    assert decompose(clip, "--overwrite", "--formats", "labels")[0] == 0
    assert {p.name for p in (tmp_path / "out" / "clip").iterdir()} == {"labels.npz", "run.json"}


def test_a_folder_that_cannot_be_written(decompose, clip, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = decompose(clip, out=tmp_path / "file")
    assert code == 2
    assert "file" in err
    assert decompose(clip, out=Path("/proc/nowhere"))[0] == 2


def test_a_full_disk(clip, model, tmp_path):
    words = ["decompose", clip, "--model", model, "--out", str(tmp_path / "out"), "--device", "cpu"]
    done = Process(main_on_a_full_disk, words, 3000)
    _, errors = done.communicate()
    assert done.returncode == 2, errors
    assert "no space left" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


# -- models that cannot be used -------------------------------------------------------------------------------------


def change_tensors(change):
    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def change_config(change):
    def spoil(folder):
        config = json.loads((folder / "config.json").read_text())
        change(config["config"])
        (folder / "config.json").write_text(json.dumps(config))

    return spoil


def pickled(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


BAD_MODELS = {
    "missing tensor": (change_tensors(lambda t: t.pop("initial")), "initial"),
    "extra tensor": (change_tensors(lambda t: t.update(more=torch.zeros(1))), "more"),
    "wrong shape": (change_tensors(lambda t: t.update(initial=torch.zeros(3))), "initial"),
    "pickle": (pickled, "pickle"),
    "unknown key": (change_config(lambda c: c.update(slotz=3)), "slots"),
    "out of range": (change_config(lambda c: c.update(refinements=0)), "refinements"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_models_are_named(decompose, clip, model, tmp_path, kind):
    spoil, message = BAD_MODELS[kind]
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    spoil(folder)
    code, _, err = decompose(clip, using=folder)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_models_that_are_not_there(decompose, clip):
    code, _, err = decompose(clip, using="provide-bals-colour")
    assert code == 2
    assert "provide-bals-colour" in err


# -- interruptions --------------------------------------------------------------------------------------------------


def wait_for_film(process, out, terminal=None):
    """Wait until frames of the film have reached its file, which is after the first few."""
    deadline = time.monotonic() + 120
    while not any(f.stat().st_size for f in out.glob(".longer.*.part/resume/overlay.packets")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        if terminal is not None:
            with contextlib.suppress(OSError):
                os.read(terminal, 1 << 16)  # a full terminal would stop the process
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_an_interruption_leaves_complete_output(longer, model, tmp_path, number, code):
    out = tmp_path / "out"
    process = command("decompose", longer, longer, "--model", model, "--out", out, "--device", "cpu")
    wait_for_film(process, out)
    process.send_signal(number)
    told, errors = process.communicate()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert "interrupted" in told
    assert [p.name for p in out.iterdir()] == ["longer"]
    assert {p.name for p in (out / "longer").iterdir()} == FILES
    found = record(out / "longer")
    assert found["interrupted"] is True
    with np.load(out / "longer" / "labels.npz") as archive:
        assert len(archive["labels"]) == found["frames"] == len(list((out / "longer" / "masks").iterdir()))
    with av.open(str(out / "longer" / "overlay.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == found["frames"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="pseudo-terminals are of POSIX")
def test_a_terminal_that_goes_away_leaves_complete_output(longer, model, tmp_path):
    """The process leads the session of a terminal whose other end is closed: SIGHUP, and every line printed fails."""
    leader, follower = os.openpty()
    words = ["decompose", longer, "--model", model, "--out", str(tmp_path / "out"), "--device", "cpu"]
    process = Process(main_on_terminal, os.ttyname(follower), words)
    os.close(follower)
    os.set_blocking(leader, False)
    wait_for_film(process, tmp_path / "out", leader)
    os.close(leader)
    assert process.wait() == 143
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["longer"]
    assert record(tmp_path / "out" / "longer")["interrupted"] is True


def test_a_hangup_that_is_ignored_stops_nothing(model, tmp_path):
    """As under nohup."""
    path = tmp_path / "longer.mp4"
    write_clip(path, 100)
    words = ["decompose", str(path), "--model", model, "--out", str(tmp_path / "out"), "--formats", "overlay"]
    process = Process(main_without, signal.SIGHUP, words)
    wait_for_film(process, tmp_path / "out")
    process.send_signal(signal.SIGHUP)
    assert process.wait() == 0
    assert record(tmp_path / "out" / "longer")["interrupted"] is False
