"""Make a trained model ready to ship: its weights as they are, its card with the scores of separate evaluations.

scenewise evaluate RUN/model --data balls-colour --frames 20 --samples 200 --json scores.json
python -m scenewise.experiments.publish RUN/model provide-balls-colour scores.json --limit "Fails where ..."
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.resources
from pathlib import Path
from typing import Any

from scenewise.checkpoint import Card, Score, load_model, save_model
from scenewise.errors import InputError
from scenewise.evaluation.rows import renamed
from scenewise.media.files import read_json_mapping, reading
from scenewise.training.plan import PLACES

_EVALUATION, _SCORE_AGAIN = "an evaluation", "Score the model again by `scenewise evaluate`, with --json."


def scores_of(evaluation: dict[str, Any]) -> tuple[Score, ...]:
    """Return the rows of one evaluation, each with what it was computed on.

    Args:
        evaluation: What `scenewise evaluate --json` wrote.
    """
    data, seeds = evaluation["data"], evaluation["seeds"]
    where = f"{data['source']}, {data['split']} split, {evaluation['frames'] or 'all'} frames, {len(seeds)} seeds"
    where += f", K {evaluation['slots']}"
    if evaluation["refinements"] is not None:
        where += f", R {evaluation['refinements']}"
    if "labels" in evaluation:
        where += f", labels by {evaluation['labels']}"
    where += "".join(f", {setting}" for setting in data["settings"] if setting.partition("=")[0] not in PLACES)
    rows = [renamed(row) for row in evaluation["scores"] if row["mean"] is not None]
    return tuple(Score(row["protocol"], row["metric"], where, value=row["mean"], videos=row["videos"]) for row in rows)


def publish(
    model: str | Path, name: str, evaluations: list[Path], limits: list[str], refinements: tuple[int, ...] = ()
) -> Path:
    """Write the model folder that ships.

    Args:
        model: The folder of a trained model.
        name: Name under which it ships.
        evaluations: Files that `scenewise evaluate --json` wrote for exactly this model.
        limits: Sentences that say where it fails.
        refinements: Fewest and most refinements with which its scores hold; both are among the evaluations.

    Raises:
        InputError: An evaluation is of another model, or there is none with those refinements.
    """
    loaded = load_model(model)
    scores: tuple[Score, ...] = ()
    evaluated = set[int]()
    for file in evaluations:
        evaluation = read_json_mapping(file, _EVALUATION, _SCORE_AGAIN)
        with reading(file, _EVALUATION, _SCORE_AGAIN):
            if evaluation["model"]["fingerprint"] != loaded.fingerprint:
                raise InputError(file, f"scores {evaluation['model']['fingerprint']}, not {loaded.fingerprint}.")
            scores += scores_of(evaluation)
            evaluated.add(evaluation["refinements"])
    if missing := sorted(set(refinements) - evaluated):
        raise InputError("--refinements", f"there is no evaluation with {missing[0]}.", "Name the files of both.")
    card: Card = dataclasses.replace(
        loaded.card,
        name=name,
        scores=scores,
        validated=dataclasses.replace(loaded.card.validated, refinements=refinements),
        limitations=(*loaded.card.limitations, *limits),
    )
    target = Path(str(importlib.resources.files("scenewise"))) / "weights" / name
    return save_model(loaded.model, target, card)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m scenewise.experiments.publish", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("name")
    parser.add_argument("evaluations", nargs="+", type=Path)
    parser.add_argument("--limit", action="append", default=[], help="a sentence that says where it fails")
    text = "fewest and most refinements with which its scores hold, both evaluated"
    parser.add_argument("--refinements", type=int, nargs=2, default=(), metavar=("LOW", "HIGH"), help=text)
    args = parser.parse_args()
    publish(args.model, args.name, args.evaluations, args.limit, tuple(args.refinements))


if __name__ == "__main__":
    main()
