"""What an experiment shows that has no module of its own: every measure of every variant over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.experiments.results import Shown, Spread, markdown, over_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import Result


def show(experiment: Experiment, results: Sequence[Result]) -> Shown:
    """Show all that was scored."""
    found = list(_rows(results))
    head = ("model", "data", "variant", "protocol", "K", "measure", "mean ± std (seeds)")
    data = [dict(zip((*head[:-1], "scores"), (*row[:-1], row[-1].plain()), strict=True)) for row in found]
    return Shown(markdown(head, ((*row[:-1], row[-1].text()) for row in found)), {"rows": data})


def _rows(results: Sequence[Result]) -> Iterator[tuple[str, str, str, str, str, str, Spread]]:
    for names, together in over_seeds(results).items():
        values: dict[tuple[str, str, str], list[float]] = {}
        for result in together:
            for done in result.scores["scores"]:
                told = done["scoring"]
                for row in done["rows"]:
                    key = (told["protocol"], str(told["slots"] or "own"), row["measure"])
                    values.setdefault(key, []).append(float("nan") if row["mean"] is None else row["mean"])
        yield from ((*names, *key, Spread.of(found)) for key, found in values.items())
