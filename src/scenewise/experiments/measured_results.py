"""Results that come with the package: what this project has measured, one small file per experiment, and figures.

`keep` takes over what a campaign scored; `results` returns cells of an experiment's folder, and the package's for the
rest. Values of single images stay where a module names them in `EACH`; quartiles stand for others.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.experiment import read as read_file
from scenewise.experiments.pictures import FOLDER, drawn, keep_files
from scenewise.experiments.results import CellResult, current, of_cell, read_scores
from scenewise.media.files import read_json_mapping, reading, write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.experiments.experiment import Cell, Experiment

DIGITS = 4
"""Significant digits of the values of single images."""

_FACTS = (
    "fingerprint",
    "weights",
    "step",
    "kept_step",
    "hours",
    "memory_gib",
    "hardware",
    "versions",
    "commit",
    "measured",
    "pictures",
)

_RESTORE = "Restore it from the repository."


def file_of(name: str) -> Path:
    """Return the file of an experiment; it need not be there."""
    return Path(str(importlib.resources.files("scenewise"))) / "experiments" / "measured" / f"{name}.json"


def kept_folder(experiment: Experiment) -> Path:
    """Return the package's folder of an experiment's figures and pictures; it need not be there."""
    return file_of(experiment.name).parent / "figures" / f"{experiment.name}-{experiment.size}"


def read(name: str) -> dict[str, Any]:
    """Return what the package has of an experiment: scores by cell, by size; empty where it has nothing.

    Raises:
        InputError: The file cannot be read.
    """
    path = file_of(name)
    if not path.exists():
        return {}
    content = read_json_mapping(path, "measured results", _RESTORE)
    with reading(path, "measured results by size and cell", _RESTORE):
        return {size: {name: current(scores) for name, scores in cells.items()} for size, cells in content.items()}


def results(experiment: Experiment, out: Path | None = None) -> list[CellResult]:
    """Return the scored cells of an experiment, in its order.

    Args:
        experiment: At one size.
        out: Folder of its cells; None, or a cell that has no scores there: what the package has.

    Raises:
        InputError: Scores cannot be read.
    """
    package, results = read(experiment.name).get(experiment.size, {}), []
    for cell in experiment.cells:
        folder = {} if out is None else of_cell(cell, read_scores(out / cell.name))
        scores = folder if _holds(folder) else of_cell(cell, _of_weights(cell, package.get(cell.name, {})))
        if _holds(scores):
            kept = kept_folder(experiment), f"{cell.name}."
            place, prefix = (out / cell.name / FOLDER, "") if out is not None and folder is scores else kept
            files = (place / f"{prefix}{name}" for name in scores.get("pictures", ()))
            results.append(CellResult(cell, scores, tuple(file for file in files if file.is_file())))
    return results


def _of_weights(cell: Cell, scores: dict[str, Any]) -> dict[str, Any]:
    """Return scores of the package, nothing where they are of other weights than those that ship now."""
    now = None if cell.weights is None else weights_hash(cell.weights)
    return scores if now is None or scores.get("weights") == now else {}


@functools.lru_cache(maxsize=64)
def weights_hash(name: str) -> str | None:
    """Return a short hash of the weights that ship under a name, None where none do."""
    file = Path(str(importlib.resources.files("scenewise"))) / "weights" / name / "model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else None


def _holds(scores: Mapping[str, Any]) -> bool:
    return bool(scores.get("scores") or scores.get("measured"))


def figures(experiment: Experiment) -> dict[str, str]:
    """Return the captions of the figures and pictures that the package keeps of an experiment, by file name."""
    captions = read_file(experiment.name).figures
    owners = {file: result.cell.name for result in results(experiment) for file in result.pictures}
    numbers = sorted(file for file in kept_folder(experiment).glob("*.*") if "." not in file.stem)
    by_file = {}
    for path in [*numbers, *owners]:  # what was drawn from numbers comes first
        cell = owners.get(path)
        name = path.stem if cell is None else path.stem.removeprefix(f"{cell}.")
        caption = captions.get(name, captions.get(name.partition("-")[0], name))
        by_file[path.name] = caption if cell is None else f"{caption} ({cell})"
    return by_file


def is_whole(result: CellResult) -> bool:
    """Say whether every evaluation of a cell is there."""
    return len(result.scores["scores"]) == len(result.cell.scoring)


def keep(experiment: Experiment, out: Path) -> int:
    """Take over scores and pictures of a folder's cells; those of other cells stay, those of cells no more go.

    Figures are drawn anew from the numbers, where matplotlib is there.

    Args:
        experiment: At one size.
        out: Folder of its cells.

    Returns:
        How many cells were taken over.

    Raises:
        InputError: Scores cannot be read, or the package cannot be written.
    """
    whole = read(experiment.name)
    package, count = whole.get(experiment.size, {}), 0
    each = frozenset(getattr(experiment.hooks(), "EACH", ()))
    cells = {}
    for cell in experiment.cells:
        scores = of_cell(cell, read_scores(out / cell.name))
        if _holds(scores):
            count += 1
            cells[cell.name] = _small(scores, each)
        elif _of_weights(cell, package.get(cell.name, {})):
            cells[cell.name] = package[cell.name]
    path = file_of(experiment.name)
    if not cells and not path.exists():
        return 0
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    before = [(result.cell, file) for result in results(experiment, out) for file in result.pictures]
    files = {
        file.name if file.name.startswith(f"{cell.name}.") else f"{cell.name}.{file.name}": file.read_bytes()
        for cell, file in before
    }
    write_atomically(path, _text({**whole, experiment.size: cells}))
    rows = results(experiment)
    draws = experiment.hooks().show(experiment, rows).figures if rows else {}
    images = {f"{name}.png": drawn(draw) for name, draw in draws.items()}
    keep_files(kept_folder(experiment), files | {name: image for name, image in images.items() if image is not None})
    return count


def _text(content: dict[str, Any]) -> str:
    """Return JSON with a line per evaluation, so that a change shows where it is."""
    sizes = []
    for size, cells in sorted(content.items()):
        lines = []
        for name, scores in cells.items():
            facts = json.dumps({key: value for key, value in scores.items() if key != "scores"})
            evaluations = ",\n".join(f"   {json.dumps(one)}" for one in scores["scores"])
            lines.append(f'  {json.dumps(name)}: {facts[:-1]}, "scores": [\n{evaluations}\n  ]}}')
        sizes.append(f"{json.dumps(size)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n " + ",\n ".join(sizes) + "\n}\n"


def _small(scores: Mapping[str, Any], each: frozenset[str]) -> dict[str, Any]:
    facts = {key: scores[key] for key in _FACTS if key in scores}
    return facts | {
        "scores": [one | {"rows": [_row(row, each) for row in one["rows"]]} for one in scores.get("scores", [])]
    }


def _row(row: Mapping[str, Any], each: frozenset[str]) -> dict[str, Any]:
    small = {key: value for key, value in row.items() if key not in ("each", "protocol", "slots", "refinements")}
    small["protocol"] = row["protocol"]
    if "each" in row:
        small["quartiles"] = quartiles(row)
        if f"{row['protocol']} {row['metric']}" in each:
            small["each"] = [[None if v is None else float(f"{v:.{DIGITS}g}") for v in row["each"][0]]]
    return small


def quartiles(row: Mapping[str, Any]) -> list[float] | None:
    """Return the 25th, 50th and 75th percentile over videos and posterior seeds, None where nothing was scored."""
    if "quartiles" in row:
        return list(row["quartiles"]) if row["quartiles"] is not None else None
    values = np.array([v for values in row.get("each", []) for v in values if v is not None], float)
    return [float(f"{v:.6g}") for v in np.percentile(values, (25, 50, 75))] if len(values) else None


def progress(experiment: Experiment, out: Path | None = None) -> tuple[int, int]:
    """Return how many cells have all their scores, and how many cells there are."""
    return sum(map(is_whole, results(experiment, out))), len(experiment.cells)
