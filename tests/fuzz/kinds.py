"""Small files of every kind that the product writes and reads again, and the command that reads each."""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
import yaml
from PIL import Image
from tests.fuzz.mutations import bytes_of, json_of, values_of, zip_of

from scenewise.checkpoint import Card, Reference, save_model
from scenewise.config import build
from scenewise.data.shards import writer
from scenewise.media import VideoWriter
from scenewise.models.contract import MODELS
from scenewise.training import recipes
from scenewise.training.run import train

FRAMES = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        make: Writes it into an empty folder.
        spoiled: Which of its files are changed, one at a time: patterns below the folder.
        words: Gives the command line that reads it, for the folder and a free place for results.
        mutate: Changes the content of a file.
        inputs: How many are tried.
    """

    make: Callable[[Path], None]
    spoiled: tuple[str, ...]
    words: Callable[[Path, Path], list[str]]
    mutate: Callable = bytes_of
    inputs: int = 100


def decompose(name, *words):
    def command(folder, out):
        model = folder / "model" if (folder / "model").is_dir() else folder.parent / "model"
        return ["decompose", str(folder / name), "--model", str(model), "--out", str(out), "--stop", "2",
                "--formats", "tracks,coco", *words]  # fmt: skip

    return command


def show(source, *settings):
    def command(folder, out):
        words = [word.replace("HERE", str(folder)) for word in settings]
        named = source.replace("HERE", str(folder))
        return ["data", "show", named, "--out", f"{out}.png", *(["--set", *words] if words else [])]

    return command


def model(folder):
    torch.manual_seed(0)
    kind = MODELS.get("provide")
    card = Card(name="tiny", validated=Reference(mse=1.0, mse_high=1.0, data="noise"))
    save_model(kind(build(kind.config_class, kind.presets["tiny"], "preset")), folder, card)


def with_clip(folder):
    model(folder / "model")
    np.save(folder / "clip.npy", FRAMES)


def without_hash(folder):
    with_clip(folder)
    config = json.loads((folder / "model" / "config.json").read_text())
    del config["weights_sha256"]
    (folder / "model" / "config.json").write_text(json.dumps(config))


def npy(folder):
    np.save(folder / "clip.npy", FRAMES)


def npz(folder):
    np.savez(folder / "clip.npz", frames=FRAMES)


def packed(folder):
    np.savez_compressed(folder / "clip.npz", frames=FRAMES)


def h5(folder):
    with h5py.File(folder / "clip.h5", "w") as file:
        file.create_dataset("frames", data=FRAMES, chunks=(1, 16, 16, 3), compression="gzip")


def mp4(folder):
    with VideoWriter(folder / "clip.mp4", (16, 16), 10) as video:
        for image in FRAMES:
            video.write(image)


def images(folder):
    (folder / "clip").mkdir()
    for n, image in enumerate(FRAMES):
        Image.fromarray(image).save(folder / "clip" / f"{n:05d}.png")


def gif(folder):
    first, *rest = [Image.fromarray(image) for image in FRAMES]
    first.save(folder / "clip.gif", save_all=True, append_images=rest, duration=100)


def made(layout):
    def make(folder):
        plan = writer.make_plan("balls-binary", "test", {"size": 16, "frames": 3}, 4, layout, 2)
        writer.make(plan, folder / "made")

    return make


def rnem(folder):
    from scenewise.cli import main

    words = ["--samples", "3", "--format", "h5", "--set", "frames=3"]
    main(["data", "make", "balls-binary", *words, "--out", str(folder / "balls.h5")])


def mulmon(folder):
    from scenewise.cli import main

    words = ["--samples", "2", "--format", "mulmon", "--set", "size=16"]
    main(["data", "make", "cle-mv", *words, "--out", str(folder / "scenes")])


def png(folder):
    from scenewise.cli import main

    words = ["--samples", "2", "--format", "png", "--set", "frames=3", "size=16"]
    main(["data", "make", "balls-binary", *words, "--out", str(folder / "balls")])


def recipe(folder):
    content = {
        "name": "small",
        "model": {"name": "provide", "preset": "tiny", "settings": {"refinements": 2}},
        "data": {"source": "balls-colour", "settings": {"size": 16, "min_balls": 2, "max_balls": 2}},
        "training": {"steps": 2, "batch": 2, "curriculum": [[0, 1]], "seed": 1, "schedule": "linear", "device": "cpu"},
        "stages": [{"name": "one"}, {"name": "two, longer", "training": {"curriculum": [[0, 2]]}}],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))


def yaml_of(content, random):
    if random.random() < 0.3:
        return bytes_of(content, random)
    return yaml.safe_dump(values_of(yaml.safe_load(content), random), allow_unicode=True).encode(errors="surrogatepass")


def run(folder):
    words = ["training.batch=2", "training.device=cpu", "training.curriculum=[[0, 1]]", "training.checkpoint_every=2",
             "training.steps=2", "data.settings.max_balls=2"]  # fmt: skip
    train(recipes.load("provide-tiny", words), folder / "run")


def plan(folder, out):
    return ["train", str(folder / "recipe.yaml"), "--dry-run"]


def resume(folder, out):
    return ["train", "--resume", "--out", str(folder / "run")]


def resumed(folder, out):
    return ["train", "--resume", "--out", str(folder / "run"), "training.steps=3"]


def state_of(content, random):
    """Return a checkpoint with a value replaced, or some bytes changed."""
    if random.random() < 0.3:
        return bytes_of(content, random)
    state = torch.load(io.BytesIO(content), weights_only=True)
    keys = list(state)
    key = keys[int(random.integers(len(keys)))]
    if isinstance(state[key], dict) and random.random() < 0.7:
        inner = list(state[key])
        name = inner[int(random.integers(len(inner)))]
        odd = [torch.zeros(1), torch.full((3,), float("nan")), None, {}, [], "x", 2**70, torch.zeros(0)]
        state[key] = {**state[key], name: odd[int(random.integers(len(odd)))]}
    else:
        state[key] = values_of([state[key] if not isinstance(state[key], dict) else 0], random)
        state[key] = state[key][0] if state[key] else None
    with io.BytesIO() as buffer:
        torch.save(state, buffer)
        return buffer.getvalue()


ALL_TEST = "shares=[0,0,1]"
LAYOUT = ("--layout", "THWC")
KINDS = {
    "npy": Kind(npy, ("clip.npy",), decompose("clip.npy", *LAYOUT), inputs=120),
    "npz": Kind(npz, ("clip.npz",), decompose("clip.npz", *LAYOUT), zip_of, 120),
    "npz, compressed": Kind(packed, ("clip.npz",), decompose("clip.npz", *LAYOUT), zip_of, 120),
    "h5": Kind(h5, ("clip.h5",), decompose("clip.h5", *LAYOUT), inputs=160),
    "mp4": Kind(mp4, ("clip.mp4",), decompose("clip.mp4"), inputs=140),
    "gif": Kind(gif, ("clip.gif",), decompose("clip.gif"), inputs=80),
    "images": Kind(images, ("clip/*.png",), decompose("clip"), inputs=80),
    "model, settings": Kind(with_clip, ("model/config.json",), decompose("clip.npy", *LAYOUT), json_of, 200),
    "model, weights": Kind(without_hash, ("model/model.safetensors",), decompose("clip.npy", *LAYOUT), inputs=100),
    "made, manifest": Kind(made("npy"), ("made/test/manifest.json",), show("HERE/made"), json_of, 140),
    "made, npy": Kind(made("npy"), ("made/test/00000.*",), show("HERE/made"), inputs=80),
    "made, hdf5": Kind(made("hdf5"), ("made/test/00000.h5",), show("HERE/made"), inputs=80),
    "made, webdataset": Kind(made("webdataset"), ("made/test/00000.tar",), show("HERE/made"), inputs=60),
    "made, index": Kind(made("webdataset"), ("made/test/00000.index.json",), show("HERE/made"), json_of, 60),
    "R-NEM": Kind(rnem, ("balls.h5",), show("rnem-h5", "path=HERE/balls.h5"), inputs=80),
    "MulMON": Kind(mulmon, ("scenes/*.json",), show("mulmon", "path=HERE/scenes"), json_of, 80),
    "frames": Kind(png, ("balls/images/*/*.png",), show("folders", "path=HERE/balls/images", ALL_TEST), inputs=40),
    "recipe": Kind(recipe, ("recipe.yaml",), plan, yaml_of, 120),
    "run, recipe": Kind(run, ("run/recipe.yaml",), resume, yaml_of, 80),
    "run, tables": Kind(run, ("run/*.csv",), resumed, inputs=20),
    "run, checkpoint": Kind(run, ("run/checkpoints/*.pt",), resumed, state_of, 80),
}  # fmt: skip
