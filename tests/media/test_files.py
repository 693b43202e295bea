import errno
import os
import socket
from pathlib import Path

import pytest

from scenewise.errors import InputError
from scenewise.media import atomic_file, write_atomically
from scenewise.media.files import check_writable


def test_text_and_bytes_are_written_whole(tmp_path):
    write_atomically(tmp_path / "a.txt", "Grüße")
    write_atomically(tmp_path / "b.bin", b"\0\1")
    assert (tmp_path / "a.txt").read_bytes() == "Grüße".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\0\1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.bin"]


def _break_off(file, error):
    file.write(b"half")
    raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, error):
    write_atomically(tmp_path / "a.txt", "old")
    with pytest.raises(error), atomic_file(tmp_path / "a.txt") as file:
        _break_off(file, error)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_others_may_read_what_the_umask_admits(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.txt", "x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("code", "problem", "remedy"),
    [
        (errno.ENOSPC, "no space left for a.txt", "Free some space"),
        (errno.EDQUOT, "no space left for a.txt", "Free some space"),
        (errno.EACCES, "may not be written here", "Choose a folder"),
        (errno.EROFS, "may not be written here", "Choose a folder"),
        (errno.EIO, "cannot be written: Input/output error", "Choose another"),
    ],
)
def test_what_the_system_refuses_names_the_folder(tmp_path, monkeypatch, code, problem, remedy):
    def refuse(*_args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError) as caught:
        write_atomically(tmp_path / "a.txt", "x")
    assert caught.value.subject == str(tmp_path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="none: expected a folder; found none"):
        write_atomically(tmp_path / "none" / "a.txt", "x")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: expected a folder; found something else\. Choose another folder"):
        write_atomically(tmp_path / "file" / "a.txt", "x")


# -- what must not be written over -------------------------------------------------------------------------------------


def test_a_device_or_a_pipe_is_never_replaced(tmp_path):
    """A program of the administrator could put a file in place of /dev/null, for the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "socket", Path("/dev/null"), Path("/dev/stdout")):
        for write in (check_writable, lambda place: write_atomically(place, "text")):
            with pytest.raises(InputError, match="is a device or a pipe"):
                write(path)
    listener.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "socket"]
    assert Path("/dev/null").is_char_device()
    assert (tmp_path / "pipe").is_fifo()
