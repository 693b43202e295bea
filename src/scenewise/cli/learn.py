"""`scenewise decompose --learn`: a model of the very videos that are to be taken apart, trained before they are."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli import options
from scenewise.cli.train import ConsoleReporter, look_at
from scenewise.errors import InputError
from scenewise.media.interruption import exit_code

if TYPE_CHECKING:
    import argparse

    from scenewise.training.folder import RunFolder
    from scenewise.training.recipe import Recipe
    from scenewise.training.run import TrainingOutcome

FEWEST_STEPS = 40
"""Steps that a model learns for, however few minutes there are."""

_PESSIMISM = 2.0  # times the minutes it takes; two trial steps of few clips, and other programs, make estimates so long

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
    from scenewise.training.folder import RunFolder
    from scenewise.training.run import Run

    folder = RunFolder(Path(args.out) / FOLDER)
    recipe, reasons = (_begun(folder, args), []) if folder.begun else _begin(args)
    run = Run(recipe, folder.path, resume=folder.begun)
    threads.choose_for(run.plans[-1].make_model(warm=False), run.device)
    if not folder.begun:
        needed = 60 * sum(forecast.hours for forecast in run.estimate())
        if needed > _PESSIMISM * args.learn:
            recipe = shortened(recipe, _PESSIMISM * args.learn / needed)
            reasons.append(f"steps = {recipe.training.steps}: about as many as fit into {args.learn:g} minutes here.")
            run = Run(recipe, folder.path)
    with ConsoleReporter() as reporter:
        for reason in reasons:
            reporter.noted(reason)
        outcome = run.train(args.learn, reporter)
    if exit_code(outcome.stopped):
        print(f"Stopped by {outcome.stopped}; the same command goes on with the training.", file=sys.stderr)
    elif outcome.model is None:
        raise InputError("--learn", "ended before there was a model.", "Give more minutes; the run goes on from here.")
    return outcome


def shortened(recipe: Recipe, share: float) -> Recipe:
    """Return a recipe of a share of its steps, with all that happens at a step as much earlier.

    A training that ends in the middle has seen no clips longer than a frame, and no small learning rate.
    """
    training = recipe.training
    steps = max(FEWEST_STEPS, round(share * training.steps))
    share = min(1.0, steps / training.steps)
    at = {
        name: max(1, round(share * getattr(training, name)))
        for name in ("warm_up", "half_life", "validate_every", "images_every")
        if getattr(training, name)
    }
    curriculum = tuple((round(share * step), frames) for step, frames in training.curriculum)
    return replace(recipe, training=replace(training, steps=steps, curriculum=curriculum, **at))


def _check(args: argparse.Namespace) -> None:
    if not args.learn > 0:
        raise InputError("--learn", f"must be more than 0 minutes; found {args.learn}.")
    if args.model != options.DEFAULT_MODEL:
        raise InputError("--learn", "trains a model of its own.", "Leave out --model, or --learn.")
    if args.background is not None:
        raise InputError(
            "--background", "is for a model that is there; --learn makes its own.", "Leave out one of them."
        )
    for text in args.inputs:
        if not Path(text).exists():
            raise InputError(text, "is not a file or folder; --learn trains on videos.", "Check the path.")


def _begin(args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """Return the recipe for the inputs, and the reasons for what it proposes."""
    from scenewise.training import recipes

    crop = options.numbers(args.crop, "--crop", 4)
    values, reasons = look_at(args.inputs, layout=args.layout, key=args.key, stream=args.stream, crop=crop)
    words = [f"training.device={args.device}"] if args.device in ("cpu", "cuda") else []
    words += [f"model.settings.slots={args.slots}"] if args.slots is not None else []
    return recipes.load("footage", words, values), reasons


def _begun(folder: RunFolder, args: argparse.Namespace) -> Recipe:
    """Return the recipe of the run in a folder, which must be on the same files; one that has ended is lengthened."""
    recipe = folder.recipe()
    if folder.steps_done() >= recipe.training.steps:
        recipe = replace(recipe, training=replace(recipe.training, steps=2 * recipe.training.steps))
    files = {str(Path(text).absolute()) for text in args.inputs}
    if set(recipe.data.settings.get("files", ())) != files:
        problem = f"holds a training on {', '.join(recipe.data.settings.get('files', ())) or 'other data'}."
        raise InputError(folder.path, problem, "Choose another --out, or take that folder away.")
    return recipe
