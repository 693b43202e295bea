"""Folders appear complete or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenewise.errors import InputError
from scenewise.media.folders import OutputFolder, check_free, distinct


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


# -- several processes ------------------------------------------------------------------------------------------------

FILL = """
import sys, time
import errno
import os
import subprocess
import sys
from pathlib import Path
from scenewise.media.folders import OutputFolder
with OutputFolder(Path(sys.argv[1]), overwrite=True) as output:
    (output.path / "file").write_text("x" * 1000)
    print("filling", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def filling(tmp_path):
    """Another process that fills a folder; returns it."""
    process = subprocess.Popen([sys.executable, "-c", FILL, tmp_path / "b"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "filling\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_another_process_fills_is_refused(tmp_path, filling, overwrite):
    with pytest.raises(InputError, match="being written by another process"):
        OutputFolder(tmp_path / "b", overwrite)
    with OutputFolder(tmp_path / "c") as output:  # one beside it is nobody else's business
        output.commit()
    assert sum(path.suffix == ".part" for path in tmp_path.iterdir()) == 1


def test_what_a_killed_process_left_is_swept(tmp_path, filling):
    (tmp_path / ".other.abcdefgh.part").mkdir()
    (tmp_path / ".b.notes.part").mkdir()
    filling.kill()
    filling.wait()
    assert any(path.name.startswith(".b.") and path.suffix == ".part" for path in tmp_path.iterdir())
    with OutputFolder(tmp_path / "b") as output:
        output.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.notes.part", ".other.abcdefgh.part", "b"]


def test_a_result_that_a_killed_process_had_moved_away_is_put_back(tmp_path):
    (tmp_path / ".b.abcdefgh.old").mkdir()
    (tmp_path / ".b.abcdefgh.old" / "file").touch()
    (tmp_path / ".b.abcdefgh.part").mkdir()
    with pytest.raises(InputError, match="not empty"):
        OutputFolder(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b" / "file").exists()


def test_a_name_that_was_taken_meanwhile_is_refused_at_the_end(tmp_path):
    with OutputFolder(tmp_path / "b") as output:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "file").touch()
        with pytest.raises(InputError, match="not empty"):
            output.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("name", ["x" * 200, "ä" * 110, "a.b", "a[1]*?", "caf\udce9"])
def test_names_of_every_kind(tmp_path, name):
    with OutputFolder(tmp_path / name) as output:
        (output.path / "file").touch()
        output.commit()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_inside_one_that_is_being_filled(tmp_path):
    with OutputFolder(tmp_path / "b") as output:
        with OutputFolder(output.path / "inner") as inner:
            inner.commit()
        output.commit()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["inner"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="no space left"), OutputFolder(tmp_path / "b") as output:
        raise OSError(errno.ENOSPC, "No space left on device", str(output.path / "file"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_to_a_folder_stays_and_leads_to_the_results(tmp_path, overwrite):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    if overwrite:
        (tmp_path / "disk" / "old").touch()
    with OutputFolder(tmp_path / "link", overwrite) as output:
        (output.path / "file").touch()
        output.commit()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["file"]
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "link"}


def test_a_link_that_leads_nowhere_yet(tmp_path):
    (tmp_path / "link").symlink_to("disk")
    with OutputFolder(tmp_path / "link") as output:
        output.commit()
    assert (tmp_path / "disk").is_dir()


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_folders_are_as_private_as_the_user_has_them(tmp_path, mask):
    before = os.umask(mask)
    try:
        with OutputFolder(tmp_path / "new") as output:
            output.commit()
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~mask
    (tmp_path / "private").mkdir(0o710)
    with OutputFolder(tmp_path / "private") as output:
        output.commit()
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o710
