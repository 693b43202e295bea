"""`scenewise train`: a recipe to a model, in runs that can be stopped and continued."""

from __future__ import annotations

import argparse
import contextlib
import math
import textwrap
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from scenewise.cli.output import note, say
from scenewise.errors import InputError, shell_word
from scenewise.training.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.cli import Parser
    from scenewise.training.plan import Forecast
    from scenewise.training.recipe import Recipe, StagePlace
    from scenewise.training.reporter import StepProgress
    from scenewise.training.run import TrainingOutcome
    from scenewise.training.validation import Validation

_EVERY = 30.0  # seconds between lines where the output is no terminal
_READING = tuple(f"data.settings.{name}=" for name in ("layout", "key", "stream", "cache", "crop"))  # of the look too
_EPILOG = """\
examples:
  scenewise train provide-balls-colour --out runs/balls
  scenewise train provide-balls-colour --dry-run       stages, settings and hours; trains nothing
  scenewise train --resume --out runs/balls            the run in a folder, from where it stopped
  scenewise train provide-balls-colour --until full-size --out runs/half
  scenewise train provide-balls-colour --from clips-of-8 --model provide-balls-colour --out runs/more
  scenewise train iodine-cle-mv --lds 0.028
  scenewise train footage --data clip1.mp4 clip2.mp4 --minutes 60

settings key=value are laid over the recipe, and over all of its stages:
  training.steps=2000                  one setting
  stages.full-size.training.steps=500  one setting of one stage; stages=null leaves the stages out
  data.settings.size=32                one setting of the source, beside those of the recipe
  data.settings={size: 32}             these settings of the source in place of the recipe's
  data.source=balls-binary             another source; the settings of the recipe's own are dropped
  training.steps=9000 --resume         lengthens a run; its card tells

a recipe is the whole way from nothing to a model; `scenewise models` lists what ships, recipes are:
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's arguments; settings `key=value` may stand anywhere."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    from scenewise.training import recipes

    parser.epilog = _EPILOG + textwrap.fill(
        ", ".join(recipes.names()), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    parser.add_argument("recipe", nargs="?", help="name of a recipe, or a YAML file; may be left out with --resume")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings laid over the recipe")
    parser.add_argument("--data", nargs="+", metavar="FILE", default=[], help="your own videos (recipe footage)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/RECIPE)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where to train (training.device)")
    parser.add_argument("--minutes", type=float, help="stop cleanly after that many minutes")
    parser.add_argument(
        "--lds", type=float, metavar="WEIGHT", help="weight of the prior against duplicate slots (duplicates.weight)"
    )
    parser.add_argument("--until", metavar="STAGE", help="stop after that stage of the recipe; --resume goes on")
    parser.add_argument(
        "--from", dest="begin", metavar="STAGE", help="begin with that stage, on the weights of --model"
    )
    parser.add_argument("--model", metavar="NAME|PATH", help="model that --from begins with")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--resume", action="store_true", help="continue the run in --out")
    does.add_argument("--dry-run", action="store_true", help="check everything, show stages and hours, train nothing")
    parser.settings_anywhere = True


def run(args: argparse.Namespace) -> int:
    """Train; return 0, or 128 + the signal's number where a signal stopped the run."""
    if args.minutes is not None and not 0 <= args.minutes < math.inf:
        raise InputError("--minutes", f"must be at least 0, and finite; found {args.minutes}.")
    recipe, files, words = words_of(args)
    if args.lds is not None:
        words = [*words, f"model.settings.duplicates.weight={args.lds}"]
    if args.device is not None:
        words = [*words, f"training.device={args.device}"]
    recipe_text, reasons = _recipe(recipe, files, words, args)
    start = _start(args)
    from scenewise.cli import threads
    from scenewise.config import plain
    from scenewise.media.interruption import exit_code
    from scenewise.training.folder import RunFolder
    from scenewise.training.run import Run, is_first

    first, out = is_first(), args.out or Path("runs") / (recipe_text.name or "run")
    if first and not (args.resume or args.dry_run):
        RunFolder(out).check_free()  # before data and models are made, which takes some seconds
    training = Run(recipe_text, out, args.resume, args.until, start)
    threads.choose_for(training.plans[-1].make_model(warm=False), training.device)
    reporter: Any = ConsoleReporter() if first else Reporter()
    with reporter if first else contextlib.nullcontext():
        for reason in reasons:
            reporter.noted(reason)
        if args.dry_run:
            forecasts = training.estimate()
            reporter.planned(forecasts)
            args.answer = {"recipe": plain(recipe_text), "stages": [asdict(forecast) for forecast in forecasts]}
            print(_settings(recipe_text))
            return 0
        outcome = training.train(args.minutes, reporter)
    if first:
        args.answer = asdict(outcome)
        _tell(outcome)
    return exit_code(outcome.stopped)


def _start(args: argparse.Namespace) -> tuple[str, str] | None:
    """Return the stage that --from names and the model it begins with."""
    if args.begin is None and args.model is None:
        return None
    if args.model is None:
        raise InputError("--from", "needs the model whose weights the stage begins with.", "Add --model NAME|PATH.")
    if args.begin is None:
        raise InputError("--model", "says where --from begins.", "Add --from STAGE, or set training.initial_model.")
    if args.resume:
        raise InputError("--from", "belongs to the beginning of a run.", "Leave it out; --resume knows.")
    return args.begin, args.model


def _settings(recipe: Recipe) -> str:
    """Return the settings of every stage as YAML; of stages after the first, what differs from the one before."""
    import yaml

    from scenewise.config import plain
    from scenewise.training.recipes import changes

    texts, before = [], None
    for number, part in enumerate(recipe.parts()):
        settings = {key: value for key, value in plain(part).items() if key not in ("name", "summary", "stages")}
        difference = settings if before is None else changes(before, settings)
        head = f"stage {number + 1}, {recipe.stages[number].name}" if recipe.stages else f"recipe {recipe.name}"
        what = "" if before is None else " (what differs from the stage before)"
        texts.append(
            f"{head}{what}\n"
            + textwrap.indent(yaml.safe_dump(difference, sort_keys=False, default_flow_style=None, width=110), "  ")
        )
        before = settings
    return "\n" + "\n".join(texts).rstrip()


def words_of(args: argparse.Namespace) -> tuple[str | None, list[str], list[str]]:
    """Return recipe, files and settings, wherever the words stood."""
    words = list(args.overrides)
    recipe = args.recipe
    if recipe is not None and "=" in recipe and not Path(recipe).exists():
        words, recipe = [recipe, *words], None
    files = [f for f in args.data if "=" not in f or Path(f).exists()]
    return recipe, files, words + [f for f in args.data if f not in files]


def _recipe(name: str | None, files: list[str], words: list[str], args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """Return the recipe and, for footage, the reasons for what it proposes."""
    from scenewise.config import plain
    from scenewise.training import recipes

    if name is None:
        if not args.resume or args.out is None:
            raise InputError("RECIPE", "is missing.", f"Recipes: {', '.join(recipes.names())}, or a YAML file.")
        from scenewise.training.folder import RunFolder

        recipe = plain(RunFolder(args.out).recipe())
        return recipes.from_plain(recipes.override(recipe, words), "command line"), []
    values, reasons = _footage(name, files, words)
    return recipes.load(name, words, values), reasons


def _footage(name: str, files: list[str], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    from scenewise.config import nest

    if not files:
        if name == "footage":
            raise InputError("--data", "is missing.", "Name your video files: scenewise train footage --data FILES.")
        return {}, []
    prefix = "data.settings."
    return look_at(files, **nest([word.removeprefix(prefix) for word in words if word.startswith(_READING)]))


def look_at(files: list[str], **reading: Any) -> tuple[dict[str, Any], list[str]]:
    """Return what a look at footage proposes, and why, but for what could not wait and was printed."""
    from scenewise.training import proposals

    printed = []

    def warn(text: str) -> None:
        printed.append(f"warning: {text}")
        note(printed[-1])

    values, reasons = proposals.propose(files, notify=warn, **reading)
    return values, [reason for reason in reasons if reason not in printed]


def _tell(outcome: TrainingOutcome) -> None:
    resume = f"scenewise train --resume --out {shell_word(outcome.folder)}"
    if outcome.stopped == "--until":
        say(f"Finished {outcome.step} of {outcome.steps} steps; later stages were not asked for.")
        say(f"Go on with them: {resume}")
    elif outcome.stopped == "no gain":
        say(f"Finished after {outcome.step} of {outcome.steps} steps: validation has stopped gaining.")
        say(f"Train on all the same: {resume}")
    elif outcome.stopped is not None:
        say(f"Stopped by {outcome.stopped} after step {outcome.step} of {outcome.steps}; everything is saved.")
        say(f"Continue exactly here with: {resume}")
    else:
        say(f"Finished {outcome.step} steps.")
    if outcome.model is not None:
        say(f"Model: {outcome.model}")
        from scenewise.checkpoint import read_config, use
        from scenewise.models import MODELS

        kind = MODELS.get(read_config(outcome.model)["model"])
        say(f"Use it with: scenewise {use(kind)} --out out --model {shell_word(outcome.model)}")


# -- what is shown meanwhile -----------------------------------------------------------------------------------------


class ConsoleReporter(Reporter):
    """A bar on a terminal, a line now and then elsewhere; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
        ]
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._task: Any = None
        self._last = 0.0

    def __enter__(self) -> ConsoleReporter:
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Take it away."""
        self.bar.stop()

    def planned(self, forecasts: Sequence[Forecast]) -> None:
        """Print what is about to begin: data, model and memory of the largest stage, and the time of each."""
        largest = max(forecasts, key=lambda forecast: forecast.memory_gib)
        first, longest = largest.cells
        cells = f"{first:,}" if first == longest else f"{first:,} to {longest:,}"
        lines = {
            "recipe": largest.recipe,
            "data": f"{forecasts[-1].data}, {forecasts[-1].videos:,} videos",
            "model": f"{forecasts[-1].parameters:,} parameters",
            "device": largest.device,
            "step": f"{cells} cells (decodes of a frame)",
            "memory": f"about {largest.memory_gib:.1f} GiB",
        }
        stages = [(f"stage {f.place.number}", f"{f.place.name}: {_time_of(f)}") for f in forecasts if f.place.name]
        hours, steps = sum(f.hours for f in forecasts), sum(f.steps for f in forecasts)
        lines |= dict(stages)
        lines |= {"motion": forecasts[-1].motion} if forecasts[-1].motion else {}
        lines["time"] = f"about {_hours(hours * 3600)} for {steps:,} steps"
        lines["folder"] = str(largest.folder)
        for name, text in lines.items():
            self.console.print(f"{name:>8}  {text}", markup=False, soft_wrap=True)

    def begun(self, place: StagePlace, steps: int, first: int) -> None:
        """Begin the bar of a stage."""
        if place.name:
            self._print(str(place))
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task = self.bar.add_task(str(place) or "training", total=steps, completed=first, text="")

    def progressed(self, progress: StepProgress) -> None:
        """Move the bar."""
        terms = "  ".join(f"{name} {value:.1f}" for name, value in progress.terms.items())
        end = time.strftime("%a %H:%M", time.localtime(time.time() + progress.seconds_left))
        rest = f"{_hours(progress.seconds_left)} left{' in all' if progress.place.name else ''}, {end}"
        text = f"{progress.per_second:.2f} steps/s  loss {progress.loss:.1f}  {terms}  T={progress.clip}  {rest}"
        if self.console.is_terminal and self._task is not None:
            self.bar.update(self._task, completed=progress.step, text=text)
        elif time.monotonic() - self._last > _EVERY or progress.step == progress.steps:
            self._last = time.monotonic()
            place = f"{progress.place}  " if progress.place.name else ""
            self._print(f"{place}step {progress.step}/{progress.steps}  {text}")

    def validated(self, step: int, validation: Validation, best: bool) -> None:
        """Print a validation."""
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in validation.row().items())
        self._print(f"validation at step {step}  {numbers}{'  (best, kept)' if best else ''}")

    def followed(self, what: str, done: int, total: int) -> None:
        """Move the bar, which begins anew."""
        if self.console.is_terminal and self._task is not None:
            text = f"learning how objects move, {what}s"
            self.bar.update(self._task, description=text, total=total, completed=done, text="")
        elif time.monotonic() - self._last > _EVERY or done == total:
            self._last = time.monotonic()
            self._print(f"learning how objects move, {what} {done:,} of {total:,}")

    def noted(self, text: str) -> None:
        """Print an event."""
        self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def _time_of(forecast: Forecast) -> str:
    done = f", from step {forecast.first:,}" if forecast.first else ""
    return f"about {_hours(forecast.hours * 3600)} for {forecast.steps:,} steps{done}"


def _hours(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
