"""What words name: folders, patterns, lists and addresses."""

import io
import sys

import numpy as np
import pytest

from scenewise.batch import remote
from scenewise.batch.inputs import in_shard, list_videos
from scenewise.errors import InputError


def names(*words, reading=None, without=None):
    return [video.name for video in list_videos(map(str, words), reading or {}, without)]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for path in ("clips/b.mp4", "clips/a.MOV", "clips/poster.jpg", "clips/night/a.mp4", "clips/.hidden/x.mp4",
                 "clips/frames/0001.png", "clips/frames/0002.png", "clips/frames/masks/0001.png", "clips/notes.txt",
                 "clips/array.npy"):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_stands_for_all_videos_below_it(tree):
    assert names("clips") == ["a.MOV", "b.mp4", "frames", "night/a.mp4"]
    assert names(tree / "clips") == ["a.MOV", "b.mp4", "frames", "night/a.mp4"]
    assert names("clips/frames") == ["frames"]


def test_arrays_are_taken_where_their_axes_are_told(tree):
    assert "array.npy" in names("clips", reading={"layout": "THWC"})


def test_an_array_of_several_videos_is_as_many_inputs(tree):
    np.save("clips/array.npy", np.zeros((3, 4, 16, 16, 3), np.uint8))
    found = list_videos(["clips/array.npy"], {"layout": "NTHWC"})
    assert [video.place for video in found] == [0, 1, 2]
    assert len({video.name for video in found}) == 3
    assert all(video.name.startswith("clips/array.npy/") for video in found)


def test_the_folder_of_results_is_left_out(tree):
    (tree / "clips/out/videos/a").mkdir(parents=True)
    (tree / "clips/out/videos/a/overlay.mp4").write_bytes(b"...")
    assert names("clips", without=tree / "clips/out") == ["a.MOV", "b.mp4", "frames", "night/a.mp4"]


def test_patterns_name_from_their_fixed_part(tree):
    assert names("clips/*.mp4") == ["b.mp4"]
    assert names("clips/**/*.mp4") == ["b.mp4", "night/a.mp4"]
    with pytest.raises(InputError, match="matches no video"):
        names("clips/*.webm")


def test_lists_and_files_go_by_their_paths_as_written(tree, monkeypatch):
    (tree / "list.txt").write_text(f"# mine\nclips/b.mp4\n\n{tree}/clips/night/a.mp4\nclips/../clips/a.MOV\ngone.mp4\n")
    absolute = f"{tree}/clips/night/a.mp4".lstrip("/")
    assert names("list.txt") == sorted(["clips/b.mp4", absolute, "clips/a.MOV", "gone.mp4"])
    assert names("clips/b.mp4") == ["clips/b.mp4"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"clips/b.mp4\0clips/a b\n.mp4\0")))
    assert names("-") == ["clips/a b\n.mp4", "clips/b.mp4"]


def test_names_that_meet_are_refused(tree):
    (tree / "more").mkdir()
    (tree / "more/b.mp4").write_bytes(b"...")
    with pytest.raises(InputError, match=r"b\.mp4: is the name of two videos, clips/b\.mp4 and more/b\.mp4"):
        names("clips", "more")
    (tree / "list.txt").write_text("clips/frames\nclips/frames/x.mp4\n")
    with pytest.raises(InputError, match="lies inside of another input"):
        names("list.txt")


def test_what_is_not_there(tree):
    for word in ("nowhere", "clip.mp4"):
        with pytest.raises(InputError, match="names no file, folder or list"):
            names(word)
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match="holds no video"):
        names("empty")


def test_a_version_changes_with_its_file(tree):
    def versions():
        return {video.name: video.version for video in list_videos(["clips"], {})}

    before = versions()
    assert versions() == before
    (tree / "clips/b.mp4").write_bytes(b"longer than before, by far")
    (tree / "clips/frames/0003.png").write_bytes(b"...")
    after = versions()
    assert {name for name in after if after[name] != before[name]} == {"b.mp4", "frames"}


def test_shards_share_out_all_and_depend_on_the_name_alone():
    everything = [f"night {i}/clip.mp4" for i in range(500)]
    shares = [[name for name in everything if in_shard(name, (part, 7))] for part in range(1, 8)]
    assert sorted(name for share in shares for name in share) == sorted(everything)
    assert all(40 < len(share) < 105 for share in shares)
    assert [name for name in everything[::2] if in_shard(name, (3, 7))] == [
        n for n in shares[2] if n in everything[::2]
    ]
    assert in_shard("any", None)


@pytest.fixture
def memory():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for path in ("/bucket/a.mp4", "/bucket/night/b.mp4", "/bucket/notes.txt"):
        system.pipe(path, path.encode())
    yield system
    system.rm("/bucket", recursive=True)


def test_addresses_of_files_folders_and_patterns(memory):
    assert names("memory://bucket") == ["a.mp4", "night/b.mp4"]
    assert names("memory://bucket/**/*.mp4")[-1] == "night/b.mp4"
    found = list_videos(["memory://bucket/night/b.mp4"], {})
    assert [video.name for video in found] == ["memory/bucket/night/b.mp4"]
    with remote.local(found[0].location) as path:
        assert path.read_bytes() == b"/bucket/night/b.mp4"
        copy = path
    assert not copy.exists()


def test_a_remote_version_changes_with_its_file(memory):
    before = list_videos(["memory://bucket"], {})
    memory.pipe("/bucket/a.mp4", b"other")
    after = list_videos(["memory://bucket"], {})
    assert [x.version == y.version for x, y in zip(before, after, strict=True)] == [False, True]


def test_what_is_remote_and_wrong(memory):
    with pytest.raises(InputError, match="larger than the 0 MiB"), remote.local("memory://bucket/a.mp4", 3):
        pass
    with pytest.raises(InputError, match="cannot be got"), remote.local("memory://bucket/gone.mp4"):
        pass
    with pytest.raises(InputError, match="cannot be reached"):
        names("nonsense://bucket")
    with pytest.raises(InputError, match="names no video"):
        names("memory://bucket/*.mkv")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("s3://key:secret@bucket/a/b.mp4", "s3/bucket/a/b.mp4"),
        ("https://a.org:8000/x%20y/../../etc/clip.mp4", "https/a.org:8000/x y/etc/clip.mp4"),
        ("file:///data/clip.mp4", "file/data/clip.mp4"),
    ],
)
def test_names_of_addresses_stay_below_the_folder(address, name):
    assert remote.name_of(address) == name


def test_names_of_queries_differ():
    assert remote.name_of("https://a.org/clip?id=1") != remote.name_of("https://a.org/clip?id=2")
    assert len(remote.name_of(f"https://a.org/{'x' * 4000}.mp4")) < 200
