"""`scenewise train`: a recipe to a model, in runs that can be stopped and continued."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli.options import admit_settings_anywhere

if TYPE_CHECKING:
    from scenewise.training.recipes import Recipe
    from scenewise.training.run import Outcome

_EPILOG = """\
examples:
  scenewise train provide-balls-colour --out runs/balls
  scenewise train provide-balls-colour --out runs/balls training.steps=2000 model.settings.sigma=0.2
  scenewise train provide-balls-colour --lds 1
  scenewise train --resume --out runs/balls
  scenewise train footage --data clip1.mp4 clip2.mp4 --minutes 60
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments; settings `key=value` may stand anywhere."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("recipe", nargs="?", help="name of a recipe, or a YAML file; may be left out with --resume")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings laid over the recipe")
    parser.add_argument("--data", nargs="+", metavar="FILE", default=[], help="your own videos (recipe footage)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/RECIPE)")
    parser.add_argument("--minutes", type=float, help="stop cleanly after that many minutes")
    parser.add_argument(
        "--lds", type=float, metavar="WEIGHT", help="weight of the prior against duplicate slots (lds_weight)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    admit_settings_anywhere(parser)


def run(args: argparse.Namespace) -> int:
    """Train; return 0, or 128 + the signal's number where a signal stopped the run."""
    from scenewise.cli.train_report import ConsoleReporter
    from scenewise.training.ranks import is_first
    from scenewise.training.reporter import Reporter
    from scenewise.training.run import train

    recipe, files, words = _sort(args)
    if args.lds is not None:
        words = [*words, f"model.settings.lds_weight={args.lds}"]
    first = is_first()
    chosen, reasons = _recipe(recipe, files, words, args)
    out = args.out or Path("runs") / chosen.name
    reporter: Any = ConsoleReporter() if first else Reporter()
    with reporter if first else _Nothing():
        for reason in reasons:
            reporter.noted(reason)
        outcome = train(chosen, out, args.resume, args.minutes, reporter)
    if first:
        _tell(outcome)
    return {"Ctrl-C": 130, "SIGTERM": 143}.get(outcome.stopped or "", 0)


class _Nothing:
    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *_: Any) -> None:
        """End."""


def _sort(args: argparse.Namespace) -> tuple[str | None, list[str], list[str]]:
    """Return recipe, files and settings, wherever the words stood."""
    words = list(args.overrides)
    recipe = args.recipe
    if recipe is not None and "=" in recipe and not Path(recipe).exists():
        words, recipe = [recipe, *words], None
    files = [f for f in args.data if "=" not in f or Path(f).exists()]
    return recipe, files, words + [f for f in args.data if f not in files]


def _recipe(name: str | None, files: list[str], words: list[str], args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """Return the recipe and, for footage, the reasons for what it proposes."""
    from scenewise.config import merge, nest, plain
    from scenewise.errors import InputError
    from scenewise.training import recipes
    from scenewise.training.folder import RunFolder

    if name is None:
        if not args.resume or args.out is None:
            raise InputError("RECIPE", "is missing.", f"Recipes: {', '.join(recipes.names())}, or a YAML file.")
        kept = plain(RunFolder(args.out).recipe())
        return recipes.from_plain(merge(kept, nest(words)), "command line"), []
    values, reasons = _footage(name, files)
    return recipes.load(name, words, values), reasons


def _footage(name: str, files: list[str]) -> tuple[dict[str, Any], list[str]]:
    from scenewise.errors import InputError

    if not files:
        if name == "footage":
            raise InputError("--data", "is missing.", "Name your video files: scenewise train footage --data FILES.")
        return {}, []
    from scenewise.training.proposals import propose

    return propose(files)


def _tell(outcome: Outcome) -> None:
    resume = f"scenewise train --resume --out {outcome.folder}"
    if outcome.stopped is not None:
        print(f"Stopped by {outcome.stopped} after step {outcome.step} of {outcome.steps}; everything is saved.")
        print(f"Continue exactly here with: {resume}")
    else:
        print(f"Finished {outcome.steps} steps.")
    if outcome.model is not None:
        print(f"Model: {outcome.model}")
        from scenewise.checkpoint import read_config, use
        from scenewise.models import MODELS

        kind = MODELS.get(read_config(outcome.model)["model"])
        print(f"Use it with: scenewise {use(kind)} --out out --model {outcome.model}")
