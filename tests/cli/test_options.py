"""Words that several verbs share: from what a user types to a registered source, which recognises its own files."""

from __future__ import annotations

import pytest

from scenewise.cli.options import named_source, open_source, source_video
from scenewise.data.shards.writer import make, make_plan
from scenewise.errors import InputError


@pytest.mark.parametrize(
    ("files", "path", "name"),
    [
        (["set.h5"], "set.h5", "rnem-h5"),
        (["set.HDF5"], "set.HDF5", "rnem-h5"),
        (["clevr_mv_train.json", "data/scene.npy"], ".", "mulmon"),
        (["clevr_mv_train.json"], "clevr_mv_train.json", "mulmon"),
        (["images/a.png", "scenes/a.json"], ".", "mulmon"),
        (["video/0.png"], ".", "folders"),
        (["images/a.png"], ".", "folders"),
    ],
)
def test_paths_of_every_kind(tmp_path, files, path, name):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    place = str(tmp_path / path)
    assert named_source(place, ["size=[8,8]"]) == (name, {"path": place, "size": [8, 8]})


def test_made_folders_and_their_splits(tmp_path):
    make(make_plan("tetrominoes", "test", {}, 2, "npy"), tmp_path / "made")
    for place in (tmp_path / "made", tmp_path / "made" / "test"):
        assert named_source(str(place)) == ("made", {"path": str(place)})


def test_any_other_file_is_footage_and_names_go_first(tmp_path, monkeypatch):
    (tmp_path / "clip.mov").touch()
    place = str(tmp_path / "clip.mov")
    assert named_source(place) == ("footage", {"files": [place]})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "balls").mkdir()
    assert named_source("balls") == ("balls", {})
    with pytest.raises(InputError, match="tetrominoes"):
        named_source("tetromino")


def test_a_made_folder_of_the_name_of_a_source_is_not_asked_for_its_split(tmp_path, monkeypatch):
    """SOURCE#INDEX is a video of the registered source, of its test split, whatever lies in the working folder."""
    make(make_plan("tetrominoes", "train", {}, 2, "npy"), tmp_path / "made")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made" / "train").rename("balls-colour")
    sample, name, _ = source_video("balls-colour#1")
    assert name == "balls-colour-1"
    assert (sample.frames == open_source("balls-colour", "test").sample(1).frames).all()
    sample, name, _ = source_video("./balls-colour#1")
    assert (sample.frames == open_source("tetrominoes", "train").sample(1).frames).all()


def test_a_source_is_asked_for_the_channels_of_the_model(tmp_path):
    import h5py
    import numpy as np

    drawn = np.zeros((3, 2, 16, 16, 1), np.uint8)
    drawn[:, :, 4:8, 4:8] = 1
    with h5py.File(tmp_path / "balls.h5", "w") as file:
        file["test/features"], file["test/groups"] = drawn, drawn
    path = str(tmp_path / "balls.h5")
    assert open_source(path, "test").facts.channels == 3
    for channels in (1, 3):
        source = open_source(path, "test", channels=channels)
        assert source.sample(0).frames.shape == (3, channels, 16, 16)
    with pytest.raises(InputError, match=r"have 3 channels; the model takes 1\. Leave out channels=3"):
        open_source(path, "test", ["channels=3"], channels=1)
    with pytest.raises(InputError, match=r"have 3 channels; the model takes 1\. Use other data"):
        open_source("balls-colour", "test", channels=1)  # no setting makes them grey
