"""Files that were made or broken to harm: every kind is refused in one clear line, at once, and nothing is left."""

import gzip
import io
import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest
import torch
from tests.cli.refusals import refused, set_in

from scenewise.cli import main
from scenewise.data.shards import writer
from scenewise.media import arrays

# -- arrays -----------------------------------------------------------------------------------------------------------


def null(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", data=h5py.Empty("u1"))


def external(path):
    secret = path.with_name("secret")
    secret.write_bytes(bytes(range(48)))
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", (1, 4, 4, 3), "u1", external=[(str(secret), 0, 48)])


def virtual(path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["frames"] = np.ones((2, 4, 4, 3), np.uint8)
    layout = h5py.VirtualLayout((2, 4, 4, 3), "u1")
    layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "frames", (2, 4, 4, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("frames", layout)


def linked(path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["frames"] = np.ones((2, 4, 4, 3), np.uint8)
    with h5py.File(path, "w") as file:
        file["frames"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/frames")


def linked_group(path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["group/frames"] = np.ones((2, 4, 4, 3), np.uint8)
    with h5py.File(path, "w") as file:
        file["group"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/group")
        file["frames"] = h5py.SoftLink("/group/frames")


def huge_chunk(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", (6, 1 << 14, 1 << 14, 3), "u1", chunks=(2, 1 << 14, 1 << 14, 3))


def never_written(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", (10**9, 64, 64, 3), "u1", chunks=(1, 64, 64, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (null, "has no shape"),
        (external, "lies in other files"),
        (virtual, "lies in other files"),
        (linked, "link to another file"),
        (linked_group, "link to another file"),
        (huge_chunk, "in chunks of"),
        (never_written, "claims"),
    ],
)
def test_data_sets_that_lie_elsewhere_or_do_not_fit_are_refused(tmp_path, capsys, model, make, message):
    make(tmp_path / "video.h5")
    out = tmp_path / "out"
    words = ("decompose", tmp_path / "video.h5", "--layout", "THWC", "--key", "frames", "--model", model, "--out", out)
    assert message in refused(capsys, *words)
    assert not out.exists()


@pytest.mark.parametrize("make", [null, external, virtual, linked, huge_chunk, never_written])
def test_readers_of_data_sets_refuse_them_too(tmp_path, capsys, make):
    make(tmp_path / "data.h5")
    refused(capsys, "data", "show", "rnem-h5", "--set", f"path={tmp_path / 'data.h5'}")


def test_an_archive_that_unpacks_to_more_than_it_is_worth_is_refused(tmp_path, capsys, model, monkeypatch):
    monkeypatch.setattr(arrays, "UNPACKED_ANYWAY", 1 << 20)
    np.savez_compressed(tmp_path / "video.npz", frames=np.zeros((64, 128, 128, 3), np.uint8))
    words = ("decompose", tmp_path / "video.npz", "--layout", "THWC", "--model", model, "--out", tmp_path / "out")
    assert "too large to unpack" in refused(capsys, *words)


@pytest.mark.parametrize("method", ["ZIP_BZIP2", "ZIP_LZMA"])
def test_an_archive_that_numpy_does_not_write_is_not_unpacked(tmp_path, capsys, model, method):
    import zipfile

    with zipfile.ZipFile(tmp_path / "video.npz", "w", getattr(zipfile, method)) as archive:
        archive.writestr("frames.npy", npy_bytes(np.zeros((2, 8, 8, 3), np.uint8)))
    words = ("decompose", tmp_path / "video.npz", "--layout", "THWC", "--model", model, "--out", tmp_path / "out")
    assert "compressed in another way than NumPy's" in refused(capsys, *words)


def npy_bytes(array):
    with io.BytesIO() as file:
        np.save(file, array)
        return file.getvalue()


def nested(path):
    with h5py.File(path, "w", libver="latest") as file:
        group = file
        for _ in range(60):
            group = group.create_group("g")
        group["frames"] = np.ones((2, 4, 4, 3), np.uint8)


def plugged(path):
    """Frames compressed by LZ4, which HDF5 itself does not know."""
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((1, 4, 4, 3))
        plan.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((2, 4, 4, 3))
        h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U8LE, space, plan).write_direct_chunk((0, 0, 0, 0), b"x" * 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [(nested, "groups nested more than 48 deep"), (plugged, r"filter 32004.* takes a plug-in of HDF5.*gzip")],
)
def test_data_sets_that_take_for_ever_or_a_plug_in(tmp_path, capsys, model, make, message):
    make(tmp_path / "data.h5")
    words = ("decompose", tmp_path / "data.h5", "--layout", "THWC", "--model", model, "--out", tmp_path / "out")
    assert re.search(message, refused(capsys, *words))


@pytest.mark.parametrize(
    ("source", "shapes"),
    [
        ("multi-object-hdf5", {"image": (10, 20_000, 20_000, 3), "mask": (10, 20_000, 20_000, 1)}),
        ("ecker", {"test": (10, 10, 3, 20_000, 2000)}),
        ("rnem-h5", {"test/features": (1_000_000, 2, 64, 64, 1), "test/groups": (1_000_000, 2, 64, 64, 1)}),
    ],
)
def test_records_of_gigabytes_that_were_never_written(tmp_path, capsys, source, shapes):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, shape in shapes.items():
            file.create_dataset(name, shape, "u1", chunks=tuple(min(side, 64) for side in shape))
    words = ("data", "show", source, "--split", "test", "--set", f"path={tmp_path / 'data.h5'}")
    assert "million values" in refused(capsys, *words)


@pytest.mark.parametrize("packed", [False, True])
def test_records_of_zeros_are_none(tmp_path, capsys, packed):
    (tmp_path / "a.tfrecords").write_bytes(gzip.compress(bytes(1 << 20)) if packed else bytes(1 << 20))
    words = ("data", "show", "multi-object-tfrecords", "--set", f"path={tmp_path / 'a.tfrecords'}")
    assert "is empty" in refused(capsys, *words)


@pytest.mark.parametrize("head", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", b"", b"\x89PNG\r\n\x1a\n"])
def test_pictures_are_not_looked_for_in_what_is_none(tmp_path, capsys, model, head, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)  # no other program is asked
    with open(tmp_path / "0.png", "wb") as file:
        file.write(head)
        file.truncate(1 << 31)
    words = ("decompose", tmp_path / "0.png", "--model", model, "--out", tmp_path / "out")
    assert "expected an image" in refused(capsys, *words)


def test_a_jpeg_of_gigabytes_is_none(tmp_path, capsys, model):
    with open(tmp_path / "0.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(1 << 30)
    words = ("decompose", tmp_path / "0.jpg", "--model", model, "--out", tmp_path / "out")
    assert "larger than any JPEG image" in refused(capsys, *words)


def test_weights_that_are_longer_than_their_head_tells_are_not_read(tmp_path, capsys, model, clip):
    shutil.copytree(model, tmp_path / "other")
    with open(tmp_path / "other" / "model.safetensors", "r+b") as file:
        file.truncate(1 << 33)
    words = ("decompose", clip, "--model", tmp_path / "other", "--out", tmp_path / "out")
    assert "is not a whole safetensors file" in refused(capsys, *words)


def test_an_archive_whose_array_claims_another_size_is_refused(tmp_path, capsys, model):
    import zipfile

    with zipfile.ZipFile(tmp_path / "video.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64, 3)}
        with archive.open("frames.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(1000))
    words = ("decompose", tmp_path / "video.npz", "--layout", "THWC", "--model", model, "--out", tmp_path / "out")
    assert "tells of" in refused(capsys, *words)


# -- names and options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["balls-binary#²", "balls-binary#٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣", "balls-binary#" + "9" * 5000])
def test_numbers_of_videos_are_decimal_digits(tmp_path, capsys, model, name):
    refused(capsys, "decompose", name, "--model", model, "--out", tmp_path / "out")


@pytest.mark.parametrize("name", ["x" * 5000, "x/" * 3000, "a\nb", "caf\udce9", "a\x1b[2J\x1b]0;evil\x07"])
@pytest.mark.parametrize("place", ["model", "input"])
def test_names_are_text(tmp_path, capsys, model, clip, name, place):
    words = (name, model) if place == "input" else (clip, name)
    refused(capsys, "decompose", words[0], "--model", words[1], "--out", tmp_path / "out")


@pytest.mark.parametrize("seed", [-1, 2**63, 10**100])
def test_seeds_are_in_range(tmp_path, capsys, model, clip, seed):
    assert "--seed" in refused(capsys, "decompose", clip, "--model", model, "--out", tmp_path, f"--seed={seed}")
    assert "--seeds" in refused(capsys, "evaluate", model, "--data", "balls-colour", f"--seeds={seed}")
    assert "--seed" in refused(capsys, "data", "check", tmp_path, f"--seed={seed}")
    assert "--seed" in refused(capsys, "sample", model, "--out", tmp_path / "out", f"--seed={seed}")


@pytest.mark.parametrize("option", ["--samples", "--frames"])
def test_counts_are_in_range(capsys, model, option):
    assert option in refused(capsys, "evaluate", model, "--data", "balls-colour", option, 10**30)


@pytest.mark.parametrize("device", ["mps", "xpu", "meta"])
def test_devices_that_no_model_was_checked_on_are_refused(tmp_path, capsys, model, clip, monkeypatch, device):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    said = refused(capsys, "decompose", clip, "--model", model, "--out", tmp_path, "--device", device)
    assert f"{device}: is no device that models run on" in said
    assert "--device cpu" in said


@pytest.mark.parametrize("place", ["missing/scores.json", "folder"])
def test_scores_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys, model, monkeypatch, place):
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("scenewise.evaluation.evaluate.evaluate", lambda *_, **__: pytest.fail("work began"))
    refused(capsys, "evaluate", model, "--data", "balls-colour", "--json", tmp_path / place)


# -- model folders ----------------------------------------------------------------------------------------------------


def config(change):
    """Return a change of the text of config.json by a change of its values."""

    def spoil(folder):
        file = folder / "config.json"
        values = json.loads(file.read_text())
        text = change(values)
        file.write_text(json.dumps(values) if text is None else text)

    return spoil


def pipe(name):
    def spoil(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def device(name):
    def spoil(folder):
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")

    return spoil


def flip(folder):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-40] ^= 1  # the last bit of a weight's mantissa
    file.write_bytes(content)


MODELS = {
    "pipe for settings": (pipe("config.json"), "regular file"),
    "pipe for weights": (pipe("model.safetensors"), "regular file"),
    "device for settings": (device("config.json"), "regular file"),
    "device for weights": (device("model.safetensors"), "regular file"),
    "deep lists": (config(lambda _: "[" * 100_000), "nested"),
    "deep mappings": (config(lambda _: '{"a":' * 100_000), "nested"),
    "deep and whole": (config(set_in("config", json.loads("[" * 400 + "]" * 400))), "nested"),
    "digits": (
        config(lambda v: json.dumps(v | {"format": 7}).replace('"format": 7', f'"format": {"9" * 5000}')),
        "digits",
    ),
    "large integer": (config(set_in("config", "slots", 10**4000)), "bits"),
    "half a character": (config(set_in("card", "summary", "\ud800")), "surrogate"),
    "half a character as a key": (config(set_in("card", "\ud800", 1)), "surrogate"),
    "no weights of that size": (config(set_in("config", "slot_channels", 4096)), "slot_channels|must be"),
    "flipped bit": (flip, "SHA-256"),
    "other hash": (config(set_in("weights_sha256", 5)), "SHA-256"),
    "long text": (config(set_in("config", "slots", "x" * 10**6)), "slots must be"),
    "many keys": (config(lambda v: v["config"].update({f"k{n}": n for n in range(10**4)})), "more unknown"),
    "large file": (lambda folder: os.truncate(folder / "config.json", 1 << 30), "larger than"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_model_folders(tmp_path, capsys, model, clip, kind):
    import re

    spoil, message = MODELS[kind]
    folder = shutil.copytree(model, tmp_path / "model")
    spoil(folder)
    assert re.search(message, refused(capsys, "decompose", clip, "--model", folder, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_card_that_validates_no_error_at_all_knows_nothing(tmp_path, model, clip, capsys):
    folder = shutil.copytree(model, tmp_path / "model")
    config(set_in("card", "validated", {"mse": 0.0, "mse_high": 0.0}))(folder)
    assert main(["decompose", clip, "--model", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "does not know this footage" in capsys.readouterr().out


def test_weights_of_a_folder_without_a_hash_load(tmp_path, model, clip):
    folder = shutil.copytree(model, tmp_path / "model")
    config(lambda values: values.pop("weights_sha256") and None)(folder)
    assert main(["decompose", clip, "--model", str(folder), "--out", str(tmp_path / "out"), "--formats", "tracks"]) == 0


# -- recipes ----------------------------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))

RECIPES = {
    "aliases as steps": (LAUGHS + "training: {steps: *a11}", "aliases"),
    "aliases as curriculum": (LAUGHS + "training: {curriculum: *a11}", "aliases"),
    "aliases as name": (LAUGHS + "name: *a11", "aliases"),
    "aliases as settings": (LAUGHS + "model: {settings: {a: *a11}}", "aliases"),
    "merge keys": (MERGES, "aliases"),
    "an alias of itself": ("a: &a [*a]", "lies in"),
    "a mapping in itself": ("a: &a {b: *a}", "lies in"),
    "deep lists": ("a: " + "[" * 20_000 + "]" * 20_000, "nested"),
    "deep mappings": ("".join(" " * n + f"a{n}:\n" for n in range(500)), "nested"),
    "digits": (f"training: {{steps: {'9' * 5000}}}", "characters"),
    "sexagesimal": (f"training: {{steps: 1{':59' * 2000}}}", "characters"),
    "no date": ("training: {steps: 2001-99-99}", "not YAML"),
    "a tag": ("training: !!python/object/apply:os.system [id]", "not YAML"),
    "bytes": ("training: {steps: !!binary a}", "not YAML"),
    "large file": ("#" * (1 << 20), "larger than"),
    "large float": (f"training: {{checkpoint_minutes: {10**18}{'0' * 40}}}", "bits"),
    "videos": ("training: {validation_videos: 1000000000}", "validation_videos"),
    "list for settings of data": ("data: {source: balls-colour, settings: [1]}", "must be a mapping"),
    "nothing for settings of data": ("data: {source: balls-colour, settings: null}", "must be a mapping"),
    "text for settings of data": ("data: {source: balls-colour, settings: x}", "must be a mapping"),
    "number as a key": ("data: {source: balls-colour, settings: {1: 2}}", "texts for keys"),
    "list for settings of the model": ("model: {settings: [1]}", "must be a mapping"),
    "nothing for settings of the model": ("model: {settings: null}", "must be a mapping"),
    "list for the model": ("model: [provide]", "must be a mapping"),
    "text for stages": ("stages: x", "stages must be"),
    "number for a stage's model": ("stages: [{name: a, model: 5}]", "must be a mapping"),
    "list for a recipe": ("stages: [{recipe: [a]}]", "must be a text"),
    "name that leaves": ("name: ../../evil", "cannot be the name"),
    "name of a place": ("name: /etc/evil", "cannot be the name"),
    "name that hides": ("name: ..", "cannot be the name"),
    "stage that leaves": ("stages: [{name: ../../evil}]", "cannot be the name"),
    "no mapping": ("- 1", "mapping"),
    "no text": ("\x00\x01", "not YAML"),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_recipes(tmp_path, capsys, monkeypatch, kind):
    text, message = RECIPES[kind]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(text)
    assert message in refused(capsys, "train", "recipe.yaml", "training.steps=1")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    "word", ["model.settings=5", "model=5", "data=[1]", "training=x", "stages=5", "stages.full=3", "a." * 500 + "b=1"]
)
def test_settings_on_the_command_line(tmp_path, capsys, word):
    refused(capsys, "train", "provide-tiny", word, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "&a [*a]", "{1: 2}", "!!python/name:os.system", "\ud800"])
def test_values_on_the_command_line(tmp_path, capsys, value):
    refused(capsys, "train", "provide-tiny", f"data.settings={value}", "--out", tmp_path / "run")
    refused(capsys, "data", "show", "balls-colour", "--set", f"size={value}")


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (("decompose", "", "--out", "out"), "a word"),
        (("decompose", "clip.mp4", "--out", ""), "a word"),
        (("decompose", "clip.mp4", "--out="), "--out"),
        (("decompose", "clip.mp4", "--model", "", "--out", "out"), "a word"),
        (("train", "r\0.yaml"), "a word"),
        (("data", "make", "balls", "--out=a\0"), "--out"),
    ],
)
def test_a_word_that_is_empty_is_not_taken_for_this_folder(tmp_path, capsys, monkeypatch, words, subject):
    monkeypatch.chdir(tmp_path)
    assert f"{subject}: is empty" in refused(capsys, *words)
    assert not list(tmp_path.iterdir())


# -- made folders -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["npy", "hdf5", "webdataset"])
def made_once(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / request.param
    plan = writer.make_plan("balls-binary", "test", {"size": 16, "frames": 3}, 4, request.param, 2)
    writer.make(plan, out)
    return out


@pytest.fixture
def made(made_once, tmp_path):
    return shutil.copytree(made_once, tmp_path / "made")


def drop(*keys):
    *path, last = keys

    def change(values):
        for key in path:
            values = values[key]
        del values[last]

    return change


MANIFESTS = {
    "no size": drop("facts", "size"),
    "no settings": drop("settings"),
    "list for settings": set_in("settings", [1]),
    "nothing for settings": set_in("settings", None),
    "nothing for the size": set_in("facts", "size", None),
    "number for the size": set_in("facts", "size", 5),
    "no size at all": set_in("facts", "size", [0, 0]),
    "number for facts": set_in("facts", 5),
    "list for extras": set_in("per_frame", [1, [2]]),
    "number for extras": set_in("per_frame", 7),
    "another fact": set_in("facts", "evil", 1),
    "many videos": set_in("samples", 10**15),
    "no videos": set_in("samples", 0),
    "large shards": set_in("shard", 10**18),
    "no shards": set_in("shard", 0),
    "another layout": set_in("layout", "../npy"),
    "another split": set_in("split", "../../test"),
    "nothing for shards": set_in("shards", None),
    "number for a shard": set_in("shards", [5, 6]),
    "shard that leaves": set_in("shards", 0, "name", "../../../../etc/passwd"),
    "shard of a place": set_in("shards", 0, "name", "/etc/passwd"),
    "no files": set_in("shards", 0, "files", {}),
    "number for files": set_in("shards", 0, "files", 3),
    "file that leaves": set_in("shards", 0, "files", {"/../../../x": {"sha256": "a", "bytes": 1}}),
    "no bytes": set_in("shards", 0, "files", {".npy": {}}),
    "another version": set_in("shards", 0, "versions", 99),
    "nothing for versions": set_in("versions", None),
    "another kind": set_in("kind", "x" * 10_000),
}


@pytest.mark.parametrize("kind", MANIFESTS)
@pytest.mark.parametrize("verb", ["check", "show"])
def test_manifests(made, capsys, kind, verb):
    file = made / "test" / "manifest.json"
    values = json.loads(file.read_text())
    MANIFESTS[kind](values)
    file.write_text(json.dumps(values))
    words = (
        ("data", "check", made) if verb == "check" else ("data", "show", made, "--index", 1, "--out", made / "x.png")
    )
    said = refused(capsys, *words)
    assert "passwd" not in said or "outside" in said
    assert not (made / "x.png").exists()


def test_a_manifest_that_is_a_pipe_or_a_shard_that_is_one(made, capsys):
    shard = next(path for path in (made / "test").iterdir() if path.name.startswith("00000"))
    shard.unlink()
    os.mkfifo(shard)
    refused(capsys, "data", "show", made, "--out", made / "x.png")
    (made / "test" / "manifest.json").unlink()
    os.mkfifo(made / "test" / "manifest.json")
    refused(capsys, "data", "show", made)
    refused(capsys, "data", "check", made)


def test_settings_of_a_manifest_open_no_pickles(made, capsys):
    file = made / "test" / "manifest.json"
    values = json.loads(file.read_text())
    values |= {"source": "mulmon", "settings": {"path": "/nowhere", "allow_pickle": True}}
    file.write_text(json.dumps(values))
    assert main(["data", "check", str(made)]) == 0
    assert "pickled files" in capsys.readouterr().out
