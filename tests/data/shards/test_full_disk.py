"""Where the disk is full, `data make` says so and leaves nothing that is not whole, whatever the format."""

import resource
import shutil

import pytest

from scenewise.cli import main

BALLS = ("balls-binary", ("frames=4", "size=32"))
SCENES = ("cle-mv", ("size=16",))
CASES = {
    "npy": (BALLS, 20_000),
    "hdf5": (BALLS, 9_000),
    "webdataset": (BALLS, 20_000),
    "png": (BALLS, 100),
    "mp4": (BALLS, 600),
    "h5": (("balls-binary", ("frames=4",)), 9_000),
    "mulmon": (SCENES, 3_000),
    "mulmon-raw": (SCENES, 600),
    "mnist-test-seq": (("moving-mnist", ()), 100_000),
}


@pytest.fixture
def small_files():
    """A function that lets no file grow beyond some bytes, as a full disk does; undone at the end."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(most):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def make(form, out, samples=8):
    (source, settings), _ = CASES[form]
    words = ["--set", *settings] if settings else []
    return main(["data", "make", source, "--samples", str(samples), "--format", form, "--out", str(out), *words])


@pytest.mark.parametrize("form", CASES)
def test_a_full_disk(tmp_path, capsys, small_files, form):
    pytest.importorskip("mujoco") if form.startswith("mulmon") else None
    out = tmp_path / {"h5": "out.h5", "mnist-test-seq": "out.npy"}.get(form, "deep/out")
    small_files(CASES[form][1])
    code = make(form, out)
    small_files(resource.RLIM_INFINITY)
    said = capsys.readouterr().err
    assert code == 2
    assert "no space left" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not out.exists()
    assert make(form, out) == 0


def test_shards_that_are_whole_stay_for_the_next_attempt(tmp_path, capsys, monkeypatch):
    from scenewise.data.shards import one_process

    write, words = one_process.Maker.make, ["--shard", "2", "--workers", "1"]

    def fails_at_the_third(self, number):
        if number == 2:
            self.folder.joinpath(".00002.npy.1.part").write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return write(self, number)

    monkeypatch.setattr(one_process.Maker, "make", fails_at_the_third)
    arguments = ["data", "make", "balls-binary", "--samples", "6", *words, "--out", str(tmp_path), "--set", "size=16"]
    assert main(arguments) == 2
    assert sorted(path.name for path in (tmp_path / "test").glob("0*.npy")) == ["00000.npy", "00001.npy"]
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(one_process.Maker, "make", write)
    assert main(arguments) == 0
    assert "2 of 3 shards were there already" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "test")
