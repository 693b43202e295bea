"""Writes scenes seen from several places in both layouts of MulMON, for its code and for the reader `mulmon`.

Packaged, as its model reads them: a JSON file per split and a file of images and masks per scene. Raw, as its generator
leaves them: a PNG and an npy file of masks per view, and a JSON file per scene. Stored labels are what they are in the
published sets, the rank of an object by nearness in that view, so that one label is another object in another view;
`depth_orders` tells which.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.shards.writers.base import register_writer
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, write_atomically, writing
from scenewise.media.folders import OutputFolder
from scenewise.media.npy import write_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenewise.data.contract import Sample, Source
    from scenewise.data.shards.writers.base import Progress, Stop, WriteRequest

_NEEDED = ("shape", "size", "material", "colour", "positions", "rotation", "camera", "pixel_coords", "amodal")


@register_writer("mulmon", "scenes seen from several places as MulMON's model reads them", unit="scenes")
def write(request: WriteRequest, out: Path, progress: Progress, stop: Stop) -> None:
    """Write the first scenes of a split, beside other splits in the same folder; see `write_mulmon`."""
    label = request.label or request.source
    name = "clevr_mv" if label == "cle-mv" else f"clevr_{Path(label).stem}"
    scenes = range(request.samples)
    write_mulmon(request.open(), out, request.split, scenes, name, request.overwrite, progress)


@register_writer("mulmon-raw", "scenes seen from several places as MulMON's generator leaves them", unit="scenes")
def write_raw(request: WriteRequest, out: Path, progress: Progress, stop: Stop) -> None:
    """Write the first scenes into a folder, which appears when it is complete; see `write_mulmon_raw`."""
    source = request.open()
    with OutputFolder(out, request.overwrite) as output:
        write_mulmon_raw(source, output.path, request.split, range(request.samples), progress)
        output.commit()


def write_mulmon(
    source: Source,
    folder: str | Path,
    split: str,
    indices: Sequence[int],
    name: str = "clevr_mv",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write scenes as `NAME_SPLIT.json` and one file of images and masks each in `data`.

    Args:
        source: Of static scenes with what `cle-mv` and `dolphin` know of them.
        folder: Where to write; made if missing.
        split: "train", "validation" or "test", for the name of the JSON file.
        indices: Which scenes.
        name: Of the set.
        overwrite: Replace the split where it is there.
        progress: Called after every scene with how many are written and how many there are to write.

    Returns:
        The JSON file, written last.

    Raises:
        InputError: The source does not know what the layout holds, there is nothing to write, or the split is there.
    """
    data = Path(folder) / "data"
    path = data.parent / f"{name}_{split}.json"
    fresh = [place for place in (data, data.parent, *data.parent.parents) if not place.exists()]
    try:
        return _write_scenes(source, data, path, split, indices, overwrite, progress)
    except BaseException:  # the disk is full, or nobody waits any longer
        if not path.exists():
            for file in data.glob(f"CLEVR_new_{split}_*.npy"):
                file.unlink()
        with suppress(OSError):
            for place in fresh:
                place.rmdir()
        raise


def _write_scenes(
    source: Source,
    data: Path,
    path: Path,
    split: str,
    indices: Sequence[int],
    overwrite: bool,
    progress: Progress | None,
) -> Path:
    """Write the files of scenes into `data`, and then the JSON file that names them."""
    scenes = []
    for number, (images, masks, scene) in enumerate(_packed(source, split, indices)):
        if number == 0:
            _clear(path, [*data.glob(f"CLEVR_new_{split}_*.npy")], overwrite)
            _make_folders(data)
        scene["data_path"] = f"data/CLEVR_new_{split}_{number:06d}.npy"
        with atomic_file(data.parent / scene["data_path"]) as file:  # an npz archive, whatever the name says
            np.savez_compressed(file, images=images, masks=masks)
        scenes.append(scene)
        if progress is not None:
            progress(number + 1, len(indices))
    shapes = sorted({thing["shape"] for scene in scenes for thing in scene["objects"]})
    info = {"split": split, "origin": source.facts.origin}
    index_file = {"info": info, "num_views": len(images), "shape_gallery": shapes, "scenes": scenes}
    write_atomically(path, json.dumps(index_file))
    return path


def write_mulmon_raw(
    source: Source, folder: str | Path, split: str, indices: Sequence[int], progress: Progress | None = None
) -> Path:
    """Write scenes as MulMON's generator does: `images`, `masks` and `scenes` of one set, without splits.

    Args:
        source: As of `write_mulmon`.
        folder: Where to write; made if missing.
        split: What the JSON files say of the scenes.
        indices: Which scenes.
        progress: As of `write_mulmon`.

    Returns:
        The folder; the JSON file of every scene is written after its images and masks.

    Raises:
        InputError: The source does not know what the layout holds, there is nothing to write, or scenes are there.
    """
    from PIL import Image

    folder = Path(folder)
    for number, (images, masks, scene) in enumerate(_packed(source, split, indices)):
        if number == 0:
            _clear(folder / "scenes", [], False)
            _make_folders(*(folder / part for part in ("images", "masks", "scenes")))
        for view, (image, mask) in enumerate(zip(images, masks, strict=True)):
            stem = f"{scene['image_filename']}_{view:02d}"
            with writing(folder / "images" / stem):
                Image.fromarray(image).save(folder / "images" / f"{stem}.png")
                write_array(folder / "masks" / f"{stem}.npy", mask)
        write_atomically(folder / "scenes" / f"{scene['image_filename']}.json", json.dumps(scene))
        if progress is not None:
            progress(number + 1, len(indices))
    return folder


def _packed(source: Source, split: str, indices: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Yield scenes as they are stored, numbered from 0."""
    if not indices:
        raise InputError("indices", "names no scene to write.")
    for number, index in enumerate(indices):
        yield packed(source.sample(index), split, number)


def _make_folders(*folders: Path) -> None:
    for folder in folders:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)


def _clear(last: Path, others: Sequence[Path], overwrite: bool) -> None:
    """Make place: what tells that scenes are whole goes before them.

    Raises:
        InputError: There is something, and it may not be replaced.
    """
    if last.exists() and not overwrite:
        raise InputError(last, "is there already.", "Choose another folder, or add --overwrite.")
    with writing(last):
        for path in (last, *others):
            path.unlink(missing_ok=True)


def packed(sample: Sample, split: str = "train", number: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return a scene as it is stored.

    Args:
        sample: A scene with V views of N objects.
        split: Of the scene.
        number: Of the scene in the split.

    Returns:
        Images, uint8 (V, H, W, 3); masks, uint8 (V, H, W, 1 + N), channel 0 with ranks by nearness (0 background) and
        the others with whole silhouettes; and the entry of the JSON file.

    Raises:
        InputError: Something the layout holds is not known of the scene.
    """
    facts = sample.extras
    missing = [key for key in _NEEDED if key not in facts]
    if missing or sample.ids is None:
        raise InputError("source", f"does not know {missing[0] if missing else 'ids'} of its scenes.", "Try cle-mv.")
    ids = np.asarray(sample.ids)
    count = len(facts["shape"])
    orders = np.argsort(facts["pixel_coords"][:, :, 2], axis=1, kind="stable")  # (V, N), nearest first
    ranks = np.zeros((len(ids), count + 1), np.uint8)
    np.put_along_axis(ranks, orders + 1, np.arange(1, count + 1, dtype=np.uint8)[None], 1)
    labels = np.take_along_axis(ranks, ids.reshape(len(ids), -1), 1).reshape(ids.shape)
    silhouettes = np.moveaxis(facts["amodal"], 1, 3).astype(np.uint8)
    scene = {
        "split": split,
        "image_index": number,
        "image_filename": f"CLEVR_new_{number:06d}",
        "camera": {"location": facts["camera"].tolist()},
        "depth_orders": orders.tolist(),
        "objects": [_object(facts, row) for row in range(count)],
    }
    images = np.ascontiguousarray(np.moveaxis(sample.frames, 1, 3))
    return images, np.concatenate([labels[..., None], silhouettes], 3), scene


def _object(facts: dict[str, Any], row: int) -> dict[str, Any]:
    """Return what the JSON file holds of an object; the box is that of its whole outline in the first view."""
    rows, columns = np.nonzero(facts["amodal"][0, row])
    box = [0, 0, 0, 0]
    if len(rows):
        box = [int(value) for value in (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)]
    return {
        "shape": str(facts["shape"][row]),
        "size": str(facts["size"][row]),
        "color": str(facts["colour"][row]),
        "material": str(facts["material"][row]),
        "rotation": float(np.rad2deg(facts["rotation"][row])),
        "3d_coords": facts["positions"][row].tolist(),
        "pixel_coords": facts["pixel_coords"][:, row].tolist(),
        "bbox": box,
    }
