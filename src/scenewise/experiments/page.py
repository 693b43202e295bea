"""The page of results: what the papers claim, whether it holds here, the numbers beside theirs, and what they cost."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.experiments import experiment as experiments
from scenewise.experiments import measured_results
from scenewise.experiments.pictures import keep_files
from scenewise.experiments.results import provenance
from scenewise.media.files import write_atomically

if TYPE_CHECKING:
    from scenewise.experiments.experiment import Experiment, File

FIGURES = "images/results"
"""Folder of figures, beside the page; one folder for each experiment and size."""

_HEAD = """# Results

What this project has measured of the papers' tables and figures. The page is made from the files in
`src/scenewise/experiments/measured/`; change it by

    scenewise experiment all --size small     # trains and scores what is missing; may be stopped at any moment
    scenewise experiment all --keep           # takes scores over into the package
    scenewise experiment --page docs/results.md

Sizes: `small` is what a CPU trains in hours, at smaller pictures and with shorter clips than the papers', so that
numbers in brackets, which are theirs, are the aim and not the yardstick; its cells have equal budgets, so that models
may be compared with each other. Tables of `paper` are at the papers' own settings.
"""


def page() -> str:
    """Return the page in markdown."""
    lines = [_HEAD]
    for name in experiments.names():
        file = experiments.read(name)
        lines += [f"## {name}\n", f"{_wrapped(file.summary)}.\n"]
        lines += [f"{_wrapped(f'*The paper:* {file.claim}')}\n"] if file.claim else []
        lines += [f"{_wrapped('*Here:* ' + (file.holds or 'not read yet.'))}\n"]
        lines += [f"{_wrapped(file.note)}\n"] if file.note else []
        lines += [_size(experiments.load(name, size), file) for size in _sizes(file)]
    return "\n".join(lines)


def page_figures() -> dict[str, dict[str, Path]]:
    """Return the files of all figures of the page by the name they have there, by their folder in `FIGURES`."""
    sizes = [experiments.load(name, size) for name in experiments.names() for size in _sizes(experiments.read(name))]
    return {
        f"{one.name}-{one.size}": {
            file: measured_results.kept_folder(one) / file for file in measured_results.figures(one)
        }
        for one in sizes
    }


def write_page(file: Path) -> None:
    """Write the page, and copies of its figures beside it; figures that are no more are removed.

    Raises:
        InputError: They cannot be written.
    """
    write_atomically(file, page())
    for folder, files in page_figures().items():
        contents = {name: path.read_bytes() for name, path in files.items()}
        keep_files(file.parent / FIGURES / folder, contents)


def _sizes(file: File) -> list[str]:
    return [size for size in ("small", "paper") if size in file.sizes]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _size(experiment: Experiment, file: File) -> str:
    """Return the tables of a size, or that nothing was measured."""
    results, command = (
        measured_results.results(experiment),
        f"`scenewise experiment {experiment.name} --size {experiment.size}`",
    )
    count = sum(map(measured_results.is_whole, results))
    head = f"### {experiment.name}, size {experiment.size}: {count} of {len(experiment.cells)} cells\n"
    summary = f"{_wrapped(file.sizes[experiment.size].get('summary', ''))}.\n{command}\n"
    if not results:
        return f"{head}\n{summary}"
    text = experiment.hooks().show(experiment, results).text.replace("## ", "#### ")
    hours = sum(float(result.scores.get("hours") or 0) for result in results)
    cost = f"{hours:.1f} hours of training in all."
    folder = f"{FIGURES}/{experiment.name}-{experiment.size}"
    captions = measured_results.figures(experiment).items()
    figures = "".join(f"![{caption}]({folder}/{file})\n\n{_wrapped(f'*{caption}*')}\n\n" for file, caption in captions)
    return f"{head}\n{summary}\n{text}\n{figures}{cost}\n\n{provenance(results)}"
