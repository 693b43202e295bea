"""A decomposition that is broken off anywhere and gone on with gives the files of one that was not."""

import functools
import json
import os
import shutil
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import Process

import scenewise as sw
from scenewise.checkpoint import Card, Reference, save_model
from scenewise.config import build
from scenewise.data import Sample
from scenewise.decompose import FORMATS, Exporter
from scenewise.decompose.export import run, unfinished
from scenewise.errors import InputError
from scenewise.models.contract import MODELS

TIMES = {"seconds", "model_seconds", "timings", "resumed", "interrupted"}


@pytest.fixture(scope="module", autouse=True)
def often():
    """States are saved after every fourth frame, or after a window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfinished, "SECONDS", 0.0)
        patch.setattr(run, "SEGMENT", 4)
        yield


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Return an untrained tiny model of a kind, with weights so large that frames differ."""

    @functools.cache
    def make(name):
        torch.manual_seed(3)
        kind = MODELS.get(name)
        model = kind(build(kind.config_class, kind.presets["tiny"], "tiny"))
        with torch.no_grad():
            for p in model.parameters():
                if p.ndim > 1:
                    p.normal_(0, p[0].numel() ** -0.5)
        card = Card(name=name, validated=Reference(mse=1.0, mse_high=1.0, data="noise"))
        return sw.load(save_model(model, tmp_path_factory.mktemp("models") / name, card), device="cpu")

    return make


def moving(decomposer, frames=22):
    """Squares that come and go, for a model: uint8 (T, H, W, C)."""
    channels, height, width = decomposer.frame_shape
    images = np.random.default_rng(1).integers(0, 40, (frames, height, width, channels), np.uint8)
    for t in range(frames):
        at = t % (width - 4)
        images[t, 2:7, at : at + 4] = 230
    return images


def content(folder):
    """Everything in a folder of results, but for times and what an archive says of when it was written."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == "run.json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in TIMES}
        elif path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                found[name] = {member: archive.read(member) for member in archive.namelist()}
        else:
            found[name] = path.read_bytes()
    return found


def check_same(folder, other):
    """Check that two folders hold the same, byte for byte."""
    left, right = content(folder), content(other)
    assert [name for name in {**left, **right} if left.get(name) != right.get(name)] == []
    assert left["run.json"] == right["run.json"]


def stop_after(result, folder, frames, apart=False, **options):
    """Save a result up to a frame, as a signal does."""
    done, result.apart = [], apart
    result.save(folder, progress=lambda count, _: done.append(count), stop=lambda: done[-1] >= frames, **options)
    assert result.summary.interrupted
    return folder / "resume"


def resumable(kind):
    """Whether a kind takes videos apart; MulMON is for views of a scene."""
    return kind != "mulmon"


@pytest.mark.parametrize("kind", [name for name in MODELS.names() if resumable(name)])
def test_every_model_and_format_goes_on_to_the_same_bytes(model_of, kind, tmp_path):
    """Labels and slots show what a model carries; every format is written by those that carry most."""
    formats = None if kind.startswith("provide") else ["labels", "slots"]
    decomposer = model_of(kind)
    video = moving(decomposer, 14)
    decomposer.decompose(video, seed=5).save(tmp_path / "whole", formats)
    stop_after(decomposer.decompose(video, seed=5), tmp_path / "cut", 10, apart=True, formats=formats)
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["frames"] == 10
    result = decomposer.decompose(video, seed=5)
    result.apart = True  # writers in a process of their own write what writers on a thread do
    result.save(tmp_path / "cut", formats, resume=True)
    assert 0 < result.summary.resumed <= 10
    assert result.summary.seconds >= result.summary.model_seconds > 0
    check_same(tmp_path / "cut", tmp_path / "whole")


def test_it_goes_on_as_often_as_it_is_broken_off(model_of, tmp_path):
    decomposer = model_of("provide")
    video = moving(decomposer)
    decomposer.decompose(video, size=(20, 31)).save(tmp_path / "whole")
    for at in (5, 9, 13, 14, 21):
        stop_after(decomposer.decompose(video, size=(20, 31)), tmp_path / "cut", at, resume=True)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    decomposer.decompose(video, size=(20, 31)).save(tmp_path / "cut", resume=True)
    check_same(tmp_path / "cut", tmp_path / "whole")


def test_scores_count_the_frames_of_both_processes(model_of, tmp_path):
    decomposer = model_of("provide")
    video = moving(decomposer)
    sample = Sample(np.moveaxis(video, -1, 1), (video[..., 0] > 200).astype(np.int64))
    decomposer.decompose(sample).save(tmp_path / "whole")
    stop_after(decomposer.decompose(sample), tmp_path / "cut", 10)
    decomposer.decompose(sample).save(tmp_path / "cut", resume=True)
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["scores"]
    check_same(tmp_path / "cut", tmp_path / "whole")


def test_the_results_in_memory_are_whole_after_going_on(model_of, tmp_path):
    decomposer = model_of("provide")
    video = moving(decomposer)
    stop_after(decomposer.decompose(video), tmp_path / "cut", 10)
    result = decomposer.decompose(video)
    result.save(tmp_path / "cut", resume=True)
    np.testing.assert_array_equal(result.masks, decomposer.decompose(video).masks)


def test_nothing_of_it_stays_in_whole_results(model_of, tmp_path):
    decomposer = model_of("provide")
    decomposer.decompose(moving(decomposer)).save(tmp_path / "out")
    assert not (tmp_path / "out" / "resume").exists()
    assert "resume" not in json.loads((tmp_path / "out" / "run.json").read_text())["files"]


# -- processes that are killed ----------------------------------------------------------------------------------------


def save_until_killed(model, video, out, when, threads):
    """Take a video apart until the process kills itself: after so many frames, or at a point of the writing."""
    torch.set_num_threads(threads)
    unfinished.SECONDS, run.SEGMENT = 0.0, 4

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "finishing":
        run.peak_memory_mib = die  # of the record, which comes last
    elif when == "saving":
        count, save = [], os.replace

        def replace(source, target):
            if str(target).endswith("state.pt"):
                count.append(1)
                if len(count) == 3:
                    die()
            save(source, target)

        os.replace = replace
    elif when == "removing":
        unfinished.drop = die
    progress = (lambda count, _: count == int(when) and die()) if when.isdigit() else None
    result = sw.load(model, device="cpu").decompose(np.load(video), name="clip")
    result.apart = when.isdigit()
    result.save(out, resume=True, progress=progress)


@pytest.fixture
def killed(model_of, tmp_path):
    """Return what lets a process take the video apart until it is killed, and (model, video) for those who go on."""
    decomposer = model_of("provide")
    video = moving(decomposer)
    np.save(tmp_path / "video.npy", video)

    def kill(when):
        words = [decomposer.path, tmp_path / "video.npy", tmp_path / "out" / "clip", when]
        process = Process(save_until_killed, *map(str, words), torch.get_num_threads())
        assert process.wait() == -signal.SIGKILL, process.communicate()

    return kill, decomposer, video


@pytest.mark.slow
@pytest.mark.parametrize("points", [("9", "14", "20"), ("saving", "finishing", "removing")])
def test_kill_9_and_resume_gives_the_uninterrupted_run(killed, tmp_path, points):
    kill, decomposer, video = killed
    decomposer.decompose(video, name="clip").save(tmp_path / "whole")
    for when in points:
        kill(when)
        assert len(list((tmp_path / "out").iterdir())) == 1
    result = decomposer.decompose(video, name="clip")
    result.save(tmp_path / "out" / "clip", resume=True)
    assert result.summary.resumed >= 16
    check_same(tmp_path / "out" / "clip", tmp_path / "whole")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip"]


def test_what_was_killed_before_anything_was_saved_is_begun_anew(killed, tmp_path):
    kill, decomposer, video = killed
    kill("2")
    assert unfinished.unfinished(tmp_path / "out" / "clip").frames() == 0
    result = decomposer.decompose(video, name="clip")
    result.save(tmp_path / "out" / "clip", resume=True)
    assert result.summary.resumed == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip"]


def test_without_resume_what_was_left_is_removed(killed, tmp_path):
    kill, decomposer, video = killed
    kill("9")
    assert unfinished.unfinished(tmp_path / "out" / "clip").frames() == 8
    decomposer.decompose(video[:3], name="clip").save(tmp_path / "out" / "clip")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip"]
    assert unfinished.unfinished(tmp_path / "out" / "clip") is None


# -- what cannot be gone on from ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first_frames(model_of, tmp_path_factory):
    """A model, its video, and a folder of the first ten frames, to be copied."""
    decomposer = model_of("provide")
    video, folder = moving(decomposer), tmp_path_factory.mktemp("first") / "cut"
    stop_after(decomposer.decompose(video, name="clip"), folder, 10)
    return decomposer, video, folder


@pytest.fixture
def cut(first_frames, tmp_path):
    """A model, its video, and a folder of the first ten frames."""
    decomposer, video, folder = first_frames
    return decomposer, video, Path(shutil.copytree(folder, tmp_path / "cut"))


@pytest.mark.parametrize(
    ("options", "named"), [({"seed": 1}, "seed"), ({"slots": 4}, "slots"), ({"refinements": 2}, "refinements")]
)
def test_another_request_is_refused_by_name(cut, options, named):
    decomposer, video, folder = cut
    before = content(folder)
    with pytest.raises(InputError, match=f"another {named};"):
        decomposer.decompose(video, name="clip", **options).save(folder, resume=True)
    assert content(folder) == before


def test_another_video_model_size_or_format_is_refused(cut, model_of, tmp_path):
    decomposer, video, folder = cut
    before = content(folder)
    other = video.copy()
    other[-1, 0, 0] += 1
    with pytest.raises(InputError, match="another video;"):
        decomposer.decompose(other, name="clip").save(folder, resume=True)
    with pytest.raises(InputError, match="another part of the video;"):
        decomposer.decompose(video, name="clip", size=24).save(folder, resume=True)
    with pytest.raises(InputError, match="another formats;"):
        decomposer.decompose(video, name="clip").save(folder, ["slots"], resume=True)
    with pytest.raises(InputError, match="another model"):
        model_of("iodine").decompose(video, name="clip").save(folder, resume=True)
    assert content(folder) == before


@pytest.mark.parametrize("damage", ["short", "noise", "list", "keys", "labels", "packets", "request", "deep"])
def test_damaged_states_are_told(cut, damage):
    decomposer, video, folder = cut
    part = folder / "resume"
    state = torch.load(part / "state.pt", weights_only=True)
    if damage == "short":
        (part / "state.pt").write_bytes((part / "state.pt").read_bytes()[:2000])
    elif damage == "noise":
        (part / "state.pt").write_bytes(os.urandom(5000))
    elif damage == "list":
        torch.save([1, 2], part / "state.pt")
    elif damage == "keys":
        torch.save({key: value for key, value in state.items() if key != "evidence"}, part / "state.pt")
    elif damage == "labels":
        (part / "labels.gz").write_bytes(b"")
    elif damage == "packets":
        (part / "overlay.packets").write_bytes(b"short")
    elif damage == "request":
        (part / "request.json").write_text("{")
    else:
        (part / "request.json").write_text("[" * 5000)
    with pytest.raises(InputError, match=r"(?i)begin anew"):
        decomposer.decompose(video, name="clip").save(folder, resume=True)
    assert (folder / "run.json").exists()


def test_states_are_never_unpickled(cut):
    class Evil:
        def __reduce__(self):
            return os.mkdir, ("pwned",)

    torch.save({"frames": 3, "evil": Evil()}, cut[2] / "resume" / "state.pt")
    with pytest.raises(InputError, match="begin anew"):
        cut[0].decompose(cut[1], name="clip").save(cut[2], resume=True)
    assert not os.path.exists("pwned")


def test_whole_results_are_no_beginning(cut, tmp_path):
    decomposer, video, folder = cut
    result = decomposer.decompose(video, name="clip")
    result.save(folder, resume=True)
    assert run.is_done(decomposer.decompose(video, name="clip"), folder)
    assert not run.is_done(decomposer.decompose(video, name="clip", seed=2), folder)
    with pytest.raises(InputError, match="not empty"):
        decomposer.decompose(video, name="clip", seed=2).save(folder, resume=True)


def test_a_failure_leaves_what_was_stopped_as_it_was(cut, monkeypatch):
    decomposer, video, folder = cut
    before = content(folder)
    with monkeypatch.context() as patch:
        patch.setattr(FORMATS.get("masks"), "finish", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(InputError, match="no space"):
            decomposer.decompose(video, name="clip").save(folder, resume=True)
    assert content(folder) == before or (folder / "resume" / "state.pt").read_bytes() == before["resume/state.pt"]
    decomposer.decompose(video, name="clip").save(folder, resume=True)
    decomposer.decompose(video, name="clip").save(folder.parent / "whole")
    check_same(folder, folder.parent / "whole")


def test_a_format_that_cannot_go_on_begins_anew(model_of, tmp_path, monkeypatch):
    class Counts(Exporter):
        files = "count.txt"
        count = 0

        def add(self, frame):
            self.count += 1

        def finish(self, summary):
            (self.context.folder / self.files).write_text(str(self.count))

    get = FORMATS.get
    monkeypatch.setattr(FORMATS, "get", lambda name: Counts if name == "counts" else get(name))
    decomposer = model_of("provide")
    video = moving(decomposer)
    done = []
    result = decomposer.decompose(video)
    result.save(tmp_path / "out", ["counts"], progress=lambda n, _: done.append(n), stop=lambda: done[-1] == 9)
    assert not (tmp_path / "out" / "resume").exists()
    result = decomposer.decompose(video)
    result.save(tmp_path / "out", ["counts"], resume=True)
    assert (result.summary.resumed, (tmp_path / "out" / "count.txt").read_text()) == (0, "22")


def test_frames_that_come_once_and_predictions_save_nothing(model_of, tmp_path):
    decomposer = model_of("provide")
    video = moving(decomposer)
    for place, result in enumerate((decomposer.decompose(iter(video)), decomposer.predict(video, 12, 10))):
        done = []
        result.save(tmp_path / str(place), progress=lambda n, _, d=done: d.append(n), stop=lambda d=done: d[-1] == 17)
        assert not (tmp_path / str(place) / "resume").exists() or place == 1


def test_a_copy_of_the_folder_can_be_gone_on_with(cut, tmp_path):
    decomposer, video, folder = cut
    shutil.copytree(folder, tmp_path / "moved")
    decomposer.decompose(video, name="clip").save(tmp_path / "moved", resume=True)
    assert json.loads((tmp_path / "moved" / "run.json").read_text())["resumed"] == 8


@pytest.mark.filterwarnings("error")
def test_arrays_that_may_not_be_written_to_are_saved_without_a_word(tmp_path):
    """Engines hand out such arrays."""
    values = np.arange(6.0).reshape(2, 3)[:, ::-1]
    values.flags.writeable = False
    (tmp_path / unfinished.FOLDER).mkdir()
    unfinished.save_state(tmp_path / unfinished.FOLDER, {"values": values, "one": np.ones(())})
    state = torch.load(next((tmp_path / unfinished.FOLDER).iterdir()), weights_only=True)
    assert (state["values"].tolist(), state["one"].shape) == (values.tolist(), ())
