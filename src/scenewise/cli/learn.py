"""`scenewise decompose --learn`: a model of the very videos that are to be taken apart, trained before they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli import options
from scenewise.cli.train import look_at
from scenewise.errors import InputError
from scenewise.media.interruption import exit_code

if TYPE_CHECKING:
    import argparse

    from scenewise.training.folder import RunFolder
    from scenewise.training.recipe import Recipe
    from scenewise.training.run import TrainingOutcome

FOLDER = "training"
"""Folder of the run, in --out."""


def learn(args: argparse.Namespace) -> TrainingOutcome:
    """Train the recipe `footage` on the inputs for --learn minutes, or go on with the run that is in --out.

    Args:
        args: Parsed options of `scenewise decompose`.

    Returns:
        How the training ended; there is a model unless a signal stopped it.

    Raises:
        InputError: An option is wrong, or the inputs cannot be trained on.
    """
    _check(args)
    from scenewise.cli import threads
    from scenewise.cli.train_report import ConsoleReporter
    from scenewise.training.folder import RunFolder
    from scenewise.training.run import Run

    folder = RunFolder(Path(args.out) / FOLDER)
    recipe, reasons = (_begun(folder, args), []) if folder.begun else _begin(args)
    with ConsoleReporter() as reporter:
        for reason in reasons:
            reporter.noted(reason)
        run = Run(recipe, folder.path, resume=folder.begun)
        threads.choose_for(run.plans[-1].make_model(warm=False), run.device)
        outcome = run.train(args.learn, reporter)
    if exit_code(outcome.stopped):
        print(f"Stopped by {outcome.stopped}; the same command goes on with the training.", file=sys.stderr)
    elif outcome.model is None:
        raise InputError("--learn", "ended before there was a model.", "Give more minutes; the run goes on from here.")
    return outcome


def _check(args: argparse.Namespace) -> None:
    if not args.learn > 0:
        raise InputError("--learn", f"must be more than 0 minutes; found {args.learn}.")
    if args.model != options.DEFAULT_MODEL:
        raise InputError("--learn", "trains a model of its own.", "Leave out --model, or --learn.")
    for text in args.inputs:
        if not Path(text).exists():
            raise InputError(text, "is not a file or folder; --learn trains on videos.", "Check the path.")


def _begin(args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """Return the recipe for the inputs, and the reasons for what it proposes."""
    from scenewise.training import recipes

    values, reasons = look_at(args.inputs, layout=args.layout, key=args.key, stream=args.stream)
    words = [f"training.device={args.device}"] if args.device in ("cpu", "cuda") else []
    words += [f"model.settings.slots={args.slots}"] if args.slots is not None else []
    words += [f"data.settings.crop=[{args.crop}]"] if args.crop else []
    return recipes.load("footage", words, values), reasons


def _begun(folder: RunFolder, args: argparse.Namespace) -> Recipe:
    """Return the recipe of the run in a folder, which must be on the same files."""
    recipe = folder.recipe()
    files = {str(Path(text).absolute()) for text in args.inputs}
    if set(recipe.data.settings.get("files", ())) != files:
        problem = f"holds a training on {', '.join(recipe.data.settings.get('files', ())) or 'other data'}."
        raise InputError(folder.path, problem, "Choose another --out, or take that folder away.")
    return recipe
