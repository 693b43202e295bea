"""scenewise experiment: papers' tables as trainings and evaluations that can be stopped and continued."""

from __future__ import annotations

import math
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli.output import duration
from scenewise.documents import shortened
from scenewise.errors import InputError, shell_word
from scenewise.media.files import check_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scenewise.cli import Parser
    from scenewise.experiments.campaign import CampaignOutcome, CellTask
    from scenewise.experiments.experiment import Experiment

EXAMPLE = """examples:
  scenewise experiment                                 the experiments there are, and what is done of each
  scenewise experiment lds --size smoke --out runs/lds
  scenewise experiment all --jobs 2 --minutes 480      a night's work on two cores, all experiments
  scenewise experiment lds --only model=iodine,seed=0
  scenewise experiment lds --list                      its cells, and what is done
  scenewise experiment lds --show                      tables and figures from what was measured, here or before

What is missing is done, the cheapest first; a cell that was stopped or killed goes on, one that fails is told and
passed over. Settings key=value are laid over every recipe. Exit code 0: all done, or out of time; 1: cells failed."""

ALL = "all"

_MOST_JOBS = 1024


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an experiment, `all`, or a YAML file; none: list them")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings laid over the recipe of every cell")
    parser.add_argument("--size", default="small", help="smoke (minutes), small (hours) or paper; default: %(default)s")
    parser.add_argument("--out", type=Path, help="folder of the cells (default: runs/NAME-SIZE); of `all`: runs")
    parser.add_argument("--only", metavar="key=value,...", help="these cells: model, data, variant, seed")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop cleanly after M minutes, scores included")
    parser.add_argument("--jobs", type=int, metavar="N", help="cells side by side; default: one, or one per GPU")
    parser.add_argument("--device", default="auto", help="where models are scored; training follows its recipe")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--list", action="store_true", help="list the cells and what is done, and stop")
    does.add_argument("--dry-run", action="store_true", help="check every recipe, say what would be done, and stop")
    does.add_argument("--score", action="store_true", help="train nothing: evaluate the models that are there")
    does.add_argument("--show", action="store_true", help="train and evaluate nothing: show what was measured")
    does.add_argument("--keep", action="store_true", help="take what was measured over into the package")
    does.add_argument("--page", metavar="FILE", type=Path, help="write the page of all that the package keeps")
    parser.settings_anywhere = True


def run(args: argparse.Namespace) -> int:
    """Run the verb; return 0, 1 where cells failed, or 128 + the signal's number where a signal stopped it."""
    from scenewise.experiments import experiment as experiments

    if args.page is not None:
        from scenewise.experiments.page import write_page

        write_page(args.page)
        print(args.page)
        args.answer = {"page": args.page}
        return 0
    if args.name is None:
        return _names(args)
    for name, most in (("minutes", math.inf), ("jobs", _MOST_JOBS + 1)):
        value = getattr(args, name)
        if value is not None and not 0 < value < most:
            raise InputError(f"--{name}", f"must be above 0 and less than {most}; found {shortened(value)}.")
    if args.out is not None:
        check_folder(args.out)  # before plans are made, which takes a while
    names = [args.name]
    if args.name == ALL:
        names = [name for name in experiments.names() if args.size in experiments.read(name).sizes]
        if not names:
            sizes = ", ".join(experiments.SIZES)
            raise InputError("--size", f"no experiment has {args.size!r}.", f"Choose one of {sizes}.")
    chosen = [experiments.load(name, args.size) for name in names]
    if args.show or args.keep:
        return _show(args, chosen) if args.show else _keep(args, chosen)
    from scenewise.checkpoint import as_device

    as_device(args.device)
    tasks = _tasks(args, chosen)
    if args.list:
        return _list(args, tasks)
    if args.dry_run:
        return _plan(args, tasks)
    code = _run(args, tasks)
    return max(code, _show(args, chosen, made=True))


def _places(args: argparse.Namespace, experiment: Experiment) -> tuple[Path, Path]:
    """Return the folder of an experiment's cells, and that of made data and other experiments' folders."""
    root = args.out or Path("runs")
    alone = args.out is not None and args.name != ALL
    return root if alone else root / f"{experiment.name}-{experiment.size}", root


def _tasks(args: argparse.Namespace, chosen: Sequence[Experiment]) -> list[CellTask]:
    from scenewise.experiments import experiment as experiments
    from scenewise.experiments.campaign import CellTask
    from scenewise.experiments.cell_folder import CellFolder

    tasks: list[CellTask] = []
    for experiment in chosen:
        out, root = _places(args, experiment)
        try:
            cells = experiments.choose(experiment.cells, args.only)
        except InputError:
            if args.name != ALL:
                raise
            continue
        tasks += [CellTask(experiment, CellFolder(cell, out, args.overrides, root)) for cell in cells]
    if not tasks:
        raise InputError("--only", f"no cell has {args.only}.", "See the cells with --list.")
    return tasks


# -- what there is ----------------------------------------------------------------------------------------------------


def _names(args: argparse.Namespace) -> int:
    from scenewise.experiments import experiment as experiments
    from scenewise.experiments import measured_results

    names = experiments.names()
    width = max(map(len, names)) + 2
    args.answer = []
    for name in names:
        file = experiments.read(name)
        sizes: dict[str, Any] = {}
        args.answer.append({"name": name, "summary": file.summary, "sizes": sizes})
        print(textwrap.fill(file.summary, 118, initial_indent=f"{name:<{width}}", subsequent_indent=" " * width))
        for size, content in file.sizes.items():
            experiment = experiments.load(name, size)
            done, cells = measured_results.progress(experiment, (args.out or Path("runs")) / f"{name}-{size}")
            sizes[size] = {"cells": cells, "scored": done, "summary": content.get("summary", "")}
            head = f"{'':<{width}}--size {size:<6}{done:>3} of {cells:>3} cells scored   "
            print(f"{head}{content.get('summary', '')}")
    return 0


def _list(args: argparse.Namespace, tasks: Sequence[CellTask]) -> int:
    args.answer = []
    for out in dict.fromkeys(task.folder.out for task in tasks):
        folders = [task.folder for task in tasks if task.folder.out == out]
        width = max(len(folder.cell.name) for folder in folders)
        print(f"{out}: {len(folders)} cells")
        for folder in folders:
            state, failure = folder.state(), folder.failure()
            trained = f"trained {state.step}/{state.steps}" if state.step else f"to train, {state.steps} steps"
            trained = trained if folder.cell.weights is None else "weights are ready"
            failed = f"  FAILED: {failure['error']}" if failure else ""
            print(f"  {folder.cell.name:<{width}}  {trained:<22}scored {state.scored}/{state.scorings}{failed}")
            error = failure["error"] if failure else None
            args.answer.append({"folder": out, "cell": folder.cell.name} | asdict(state) | {"error": error})
    return 0


def _plan(args: argparse.Namespace, tasks: Sequence[CellTask]) -> int:
    from scenewise.experiments.estimate import Estimator

    estimator = Estimator([task.folder for task in tasks])
    left = [task.folder for task in tasks if not task.finished]
    cells: list[dict[str, Any]] = []
    for task in tasks:
        folder, cell = task.folder, task.folder.cell
        folder.check()
        state = folder.state()
        does = [f"makes {cell.made.source}"] if cell.made is not None and folder.data is None else []
        recipe = (cell.group.recipe or cell.model) if cell.origin is None else f"{cell.home}/{cell.origin.name}"
        does += [] if state.trained else [f"train {recipe} from step {state.step} to {state.steps}"]
        protocols = list(dict.fromkeys(scoring.protocol for scoring in cell.scoring))
        does += [f"score by {', '.join(protocols)}"] if state.scorings > state.scored else []
        does = does if folder in left else []
        cells.append({"cell": task.name, "does": does})
        print(f"  {cell.name}: {'; '.join(does) or 'nothing, it is done'}")
    seconds = estimator.together(left)
    print(f"{len(tasks)} cells, about {duration(seconds)} of one core")
    args.answer = {"cells": cells, "core_seconds": seconds}
    return 0


# -- doing it ---------------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace, tasks: Sequence[CellTask]) -> int:
    """Train and score; everything is checked before anything is computed."""
    args.answer = {"done": [], "failed": {}, "left": {}, "busy": [], "core_seconds": 0.0, "stopped": False}
    from scenewise.experiments.campaign import Campaign, check, jobs_by_default
    from scenewise.experiments.cell_folder import CAMPAIGN
    from scenewise.media.interruption import Interruption

    if args.score:
        without = [task for task in tasks if not task.folder.state().model]
        for task in without:
            print(f"{task.name}: no model yet, left out")
        tasks = [task for task in tasks if task not in without]
    broken = check(tasks) if tasks else []
    for task, reason in broken:
        task.folder.fail(reason)
        print(f"{task.name}: FAILED, {reason}")
        args.answer["failed"][task.name] = reason
    refused = [task for task, _ in broken]
    missing = [task for task in tasks if task not in refused and not task.finished]
    if not missing:
        return int(bool(broken))
    log = (tasks[0].folder.root if args.name == ALL else tasks[0].folder.out) / CAMPAIGN / "campaign.log"
    with Interruption() as interruption:
        outcome = Campaign(
            missing,
            log,
            jobs=args.jobs or jobs_by_default(),
            minutes=args.minutes,
            device=args.device,
            trains=not args.score,
            tell=lambda line: print(line, flush=True),
            stop=interruption,
        ).run()
    _tell(outcome)
    args.answer["done"] = [task.name for task in outcome.done]
    args.answer["failed"] |= {task.name: reason for task, reason in outcome.failed}
    args.answer["left"] = {task.name: seconds for task, seconds in outcome.left}
    args.answer["busy"] = [task.name for task in outcome.busy]
    args.answer |= {"core_seconds": outcome.seconds, "stopped": outcome.signal}
    if outcome.signal:
        print("Stopped; the same command goes on from here.")
        return interruption.exit_code
    return int(bool(broken or outcome.failed))


def _tell(outcome: CampaignOutcome) -> None:
    """Print what failed, and what is left with hours."""
    for task, reason in outcome.failed:
        print(f"{task.name}: FAILED, {' '.join(reason.split())}")
    if outcome.left:
        width = max(len(task.name) for task, _ in outcome.left)
        print("left:")
        for task, seconds in outcome.left:
            print(f"  {task.name:<{width}}  {seconds / 3600:6.2f} h")
        print(f"  {'together':<{width}}  {outcome.seconds / 3600:6.2f} h of one core")
    for task in outcome.busy:
        print(f"{task.name}: another process works on it")


# -- what was measured ------------------------------------------------------------------------------------------------


def _show(args: argparse.Namespace, chosen: Sequence[Experiment], made: bool = False) -> int:
    """Print and write tables and figures of all cells that have scores; of `all`, the tables' files are named."""
    from scenewise.experiments import measured_results
    from scenewise.experiments.results import provenance, write

    tables: list[dict[str, Any]] = []
    for experiment in chosen:
        out, _ = _places(args, experiment)
        results = measured_results.results(experiment, out)
        if not results:
            continue
        presentation, origin = experiment.hooks().show(experiment, results), provenance(results)
        if args.name != ALL:
            print(f"\n{presentation.text}\n{textwrap.fill(experiment.note, 118)}\n\n{origin}")
        hours = sum(float(result.scores.get("hours") or 0) for result in results)
        done = sum(map(measured_results.is_whole, results))
        print(f"{experiment.name}: {done} of {len(experiment.cells)} cells; {duration(hours * 3600)} of training")
        pictures = [picture for result in results for picture in result.pictures]
        files = [*write(experiment, presentation, out, origin), *pictures]
        for file in files:
            print(f"  {file}")
        progress = {"cells": len(experiment.cells), "scored": done, "hours": hours}
        tables.append({"experiment": experiment.name} | progress | {"text": presentation.text, "files": files})
    args.answer = getattr(args, "answer", {}) | {"tables": tables}
    if not tables and not made:
        out, _ = _places(args, chosen[0])
        remedy = f"Run: scenewise experiment {args.name} --size {args.size} --out {shell_word(args.out or out)}"
        raise InputError(out, "holds no cell with scores.", remedy)
    return 0


def _keep(args: argparse.Namespace, chosen: Sequence[Experiment]) -> int:
    from scenewise.experiments import measured_results

    args.answer = []
    for experiment in chosen:
        out, _ = _places(args, experiment)
        count = measured_results.keep(experiment, out)
        file = measured_results.file_of(experiment.name)
        if count:
            args.answer.append({"experiment": experiment.name, "cells": len(experiment.cells), "kept": count})
            print(f"{experiment.name}: {count} cells of {len(experiment.cells)} kept in {file}")
        for name in measured_results.figures(experiment):
            print(f"  {measured_results.kept_folder(experiment) / name}")
    return 0
