"""scenewise view: what words open, and what is said of those that cannot be used. The page itself: tests/viewer."""

import builtins
import json
import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `viewer` is not installed")

from scenewise.checkpoint import find, read_config, shipped
from scenewise.cli import command_parser
from scenewise.cli.view import opening_of
from scenewise.data.contract import DESCRIPTIONS, SOURCES
from scenewise.errors import InputError
from scenewise.explore import SceneExploration, VideoExploration
from scenewise.explore.recording import LateDecodes
from scenewise.runtimes import RUNTIMES


def desk_of(*words):
    argv = ["view", *map(str, words)]
    return opening_of(command_parser(argv).parse_args(argv)).desk()


@pytest.fixture
def array(tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((5, 64, 64, 3), np.uint8))
    return tmp_path / "clip.npy"


def test_a_video_under_a_model(array):
    desk = desk_of(array, "--layout", "THWC", "--slots", 4, "--device", "cpu")
    assert isinstance(desk.exploration, VideoExploration)
    assert (desk.title, desk.looking.length, desk.looking.moment(0).slots) == ("clip.npy", 5, 4)
    assert "provide-balls-colour" not in desk.models
    assert "mulmon-cle-mv" not in desk.models  # wants viewpoints
    assert desk.open_other("iodine-balls-colour").moment(0).slots == 4


@pytest.mark.parametrize("name", ["iodine-tetris", "dvip-moving-mnist", "provide-windows-balls-colour"])
def test_a_model_alone_is_shown_with_what_it_was_made_for(name):
    desk = desk_of(name, "--device", "cpu")
    source = read_config(find(name))["card"]["data"].split()[0]
    assert desk.title == f"{source}#3"
    assert desk.looking.decomposer.name == name


def test_every_model_that_ships_names_a_source_that_can_be_generated():
    SOURCES.names()  # fills the table
    for name in shipped():
        assert DESCRIPTIONS[read_config(find(name))["card"]["data"].split()[0]].kind == "generated", name


def test_a_model_of_files_wants_a_video(model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config["card"]["data"] = "footage (clip.mp4)"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="what should it look at"):
        desk_of(folder, "--device", "cpu")


def test_a_scene_of_views():
    pytest.importorskip("mujoco", reason="multi-view scenes need mujoco")
    desk = desk_of("cle-mv#3", "--model", "mulmon-cle-mv", "--set", "frames=3", "smooth=false", "--device", "cpu")
    assert isinstance(desk.exploration, SceneExploration)
    assert desk.models == ()


def test_a_folder_of_results_opens_its_video_under_its_model(scenewise, model, clip, tmp_path):
    assert scenewise("decompose", clip, "--model", model, "--formats", "tracks", "--out", tmp_path)[0] == 0
    desk = desk_of(tmp_path / "clip", "--device", "cpu")
    assert (desk.looking.name, desk.looking.length) == ("clip", 8)
    assert desk.looking.decomposer.path == model


def test_a_run_that_has_no_model_yet(tmp_path):
    (tmp_path / "recipe.yaml").write_text("recipe: {}\n")
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    desk = desk_of(tmp_path)
    assert desk.exploration is None
    assert desk.run == tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.mp4"], "nowhere.mp4"),
        (["balls-colour#3", "--port", "70000"], "--port: must lie in"),
        (["balls-colour#3", "--model", "nothing"], "nothing"),
        (["balls-colour#99999999999"], "videos 0 to"),
        (["balls-colour#3", "--slots", "0"], "--slots: must lie in"),
        (["camera:99"], "camera:99"),
    ],
)
def test_bad_words_are_told_in_one_line(scenewise, words, told):
    code, _, errors = scenewise("view", *words)
    assert code == 2
    assert told in errors


def test_a_record_that_does_not_say_what_it_is_about(tmp_path):
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(InputError, match="does not say"):
        desk_of(tmp_path)


def test_what_is_wrong_with_the_weights_ends_the_server(scenewise, model, clip, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    code, _, errors = scenewise("view", clip, "--model", folder, "--port", 0, "--device", "cpu")
    assert code == 2
    assert "is not a whole safetensors file" in errors


def test_an_address_in_use_is_told(scenewise, array):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, errors = scenewise("view", array, "--layout", "THWC", "--device", "cpu", "--port", port)
    assert code == 2
    assert f"127.0.0.1:{port}: cannot be used" in errors


def test_the_extra_is_named_where_it_is_missing(scenewise, monkeypatch, array):
    for name in [name for name in sys.modules if name.startswith(("fastapi", "scenewise.viewer"))]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *words, **more):
        if name.startswith("fastapi"):
            raise ImportError(name)
        return real(name, *words, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    code, _, errors = scenewise("view", array, "--layout", "THWC")
    assert code == 2
    assert "pip install 'scenewise[viewer]'" in errors


def test_another_engine_shows_the_same_and_makes_decodes_when_they_are_looked_at(array, tmp_path, monkeypatch):
    runtime = RUNTIMES["onnxruntime"]
    if missing := runtime.missing():
        pytest.skip(f"{' and '.join(missing)} not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    desks = [desk_of(array, "--layout", "THWC", "--device", "cpu", "--engine", e) for e in ("torch", "onnxruntime")]
    plain, other = (desk.looking.moment(4) for desk in desks)
    assert [desk.looking.decomposer.engine for desk in desks] == ["torch", "onnxruntime"]
    assert desks[1].looking.decomposer.model.runner.refusal is None
    np.testing.assert_allclose(other.decomposition.masks, plain.decomposition.masks, atol=1e-4)
    assert isinstance(other.decodes, LateDecodes)
    assert len(other.decodes) == len(plain.decodes)
    np.testing.assert_allclose(other.decodes[-1].mixture.masks, plain.decodes[-1].mixture.masks, atol=1e-4)
    assert desks[1].answer({"do": "refinement", "number": 4}).facts
    assert desks[1].open_other("iodine-balls-colour").decomposer.engine == "onnxruntime"


def test_short_videos_stay_with_torch(array):
    assert desk_of(array, "--layout", "THWC", "--device", "cpu").looking.decomposer.engine == "torch"
