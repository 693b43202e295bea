"""Which addresses lie below a root, whatever tricks are played."""

import pytest

from scenewise.errors import InputError
from scenewise.serve.roots import Root

ROOT = "https://media.example.org/clips/"


@pytest.mark.parametrize(
    "address",
    [
        "https://media.example.org/clips/a.mp4",
        "https://MEDIA.example.org:443/clips/night/a%20b.mp4?version=2",
        "https://media.example.org//clips//a.mp4",
    ],
)
def test_what_lies_below(address):
    assert Root.read(ROOT).holds(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://media.example.org/clips/a.mp4",
        "https://media.example.org/clips/",
        "https://media.example.org/clipsy/a.mp4",
        "https://media.example.org/clips/../keys/a.mp4",
        "https://media.example.org/clips/%2e%2e/keys/a.mp4",
        "https://media.example.org/clips\\..\\keys/a.mp4",
        "https://media.example.org:8443/clips/a.mp4",
        "https://media.example.org@169.254.169.254/clips/a.mp4",
        "https://user:word@media.example.org/clips/a.mp4",
        "https://media.example.org.evil.net/clips/a.mp4",
        "https://media.example.org/clips/a.mp4#b",
        "https://[::1/clips/a.mp4",
        "https://media.example.org:99999999/clips/a.mp4",
        "file:///etc/passwd",
        "/etc/passwd",
        "clips/a.mp4",
        "",
        "https://media.example.org/clips/a\n.mp4",
    ],
)
def test_what_does_not(address):
    assert not Root.read(ROOT).holds(address)


def test_folders_of_this_machine_follow_links(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").touch()
    (tmp_path / "secret.mp4").touch()
    (tmp_path / "clips/link.mp4").symlink_to(tmp_path / "secret.mp4")
    root = Root.read(str(tmp_path / "clips"))
    assert root.holds(f"file://{tmp_path}/clips/a.mp4")
    assert not root.holds(f"file://{tmp_path}/clips/link.mp4")
    assert not root.holds(f"file://{tmp_path}/secret.mp4")


def test_roots_that_are_none():
    with pytest.raises(InputError, match="is no plain address"):
        Root.read("https://user:word@host/")
