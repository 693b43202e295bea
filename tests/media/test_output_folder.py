"""Folders appear complete or not at all."""

from pathlib import Path

import pytest

from scenewise.errors import InputError
from scenewise.media.output_folder import OutputFolder, check_free, distinct


def test_what_is_not_committed_vanishes(tmp_path):
    with OutputFolder(tmp_path / "a" / "b") as output:
        (output.path / "file").touch()
    assert not (tmp_path / "a").exists()


def test_what_is_committed_stays(tmp_path):
    with OutputFolder(tmp_path / "a" / "b") as output:
        (output.path / "file").touch()
        output.commit()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b" / "file").exists()


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "b").mkdir()
    with OutputFolder(tmp_path / "b") as output:
        (output.path / "file").touch()
        output.commit()
    assert (tmp_path / "b" / "file").exists()


def test_an_older_folder_stays_when_a_new_one_fails(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").touch()
    with OutputFolder(tmp_path / "b", overwrite=True):
        pass
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["old"]


def test_files_are_not_taken_for_folders(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        check_free(tmp_path / "file")
    with pytest.raises(InputError, match="file"):
        OutputFolder(tmp_path / "file" / "below")


def test_a_folder_that_cannot_be_made():
    with pytest.raises(InputError, match="/proc"):
        OutputFolder(Path("/proc/scenewise-cannot-write-here"))


def test_equal_names_are_told_apart():
    assert distinct(["clip", "Clip", "other", "clip"]) == ["clip", "Clip-2", "other", "clip-3"]
