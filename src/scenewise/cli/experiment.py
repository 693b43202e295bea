"""scenewise experiment: a paper's table as trainings and evaluations that can be stopped and continued."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli.options import admit_settings_anywhere
from scenewise.cli.progress import Progress, duration
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment

EXAMPLE = """examples:
  scenewise experiment                                 the experiments there are
  scenewise experiment lds --size smoke --out runs/lds
  scenewise experiment lds --only model=iodine,seed=0
  scenewise experiment lds --list                      its cells, and what is done
  scenewise experiment lds --show                      tables and figures from what is done

A cell that is done is skipped, one that was stopped goes on. Settings key=value are laid over every recipe."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an experiment, or a YAML file; none: list them")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings laid over the recipe of every cell")
    parser.add_argument("--size", default="small", help="smoke (minutes), small (hours) or paper; default: %(default)s")
    parser.add_argument("--out", type=Path, help="folder of the cells (default: runs/NAME-SIZE)")
    parser.add_argument("--only", metavar="key=value,...", help="these cells: model, data, variant, seed")
    parser.add_argument("--device", default="auto", help="where models are scored; training follows its recipe")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--list", action="store_true", help="list the cells and what is done, and stop")
    does.add_argument("--dry-run", action="store_true", help="check every recipe, say what would be done, and stop")
    does.add_argument("--score", action="store_true", help="train nothing: evaluate the models that are there")
    does.add_argument("--show", action="store_true", help="train and evaluate nothing: show what is done")
    admit_settings_anywhere(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb; return 0, or 128 + the signal's number where a signal stopped a training."""
    from scenewise.experiments import experiment as experiments

    if args.name is None:
        return _names()
    from scenewise.experiments.cell_folder import CellFolder

    chosen = experiments.load(args.name, args.size)
    out = args.out or Path("runs") / f"{chosen.name}-{chosen.size}"
    folders = [CellFolder(cell, out, args.overrides) for cell in experiments.choose(chosen.cells, args.only)]
    if args.list:
        return _list(chosen, folders)
    if args.dry_run:
        return _plan(folders)
    code = 0 if args.show else _run(folders, args, chosen)
    return code or _show(chosen, out, args.overrides)


def _names() -> int:
    from scenewise.experiments import experiment as experiments

    for name in experiments.names():
        file = experiments.read(name)
        print(f"{name:<16}{file.summary}")
        for size, content in file.sizes.items():
            print(f"{'':<16}--size {size}: {content.get('summary', '')}")
    return 0


def _list(experiment: Experiment, folders: Sequence[CellFolder]) -> int:
    width = max(len(folder.cell.name) for folder in folders)
    print(f"{experiment.name}, size {experiment.size}: {len(folders)} cells in {folders[0].path.parent}")
    for folder in folders:
        state = folder.state()
        trained = f"trained {state.step}/{state.steps}" if state.step else f"to train, {state.steps} steps"
        trained = trained if folder.cell.weights is None else "weights are ready"
        print(f"  {folder.cell.name:<{width}}  {trained:<22}scored {state.scored}/{state.scorings}")
    return 0


def _plan(folders: Sequence[CellFolder]) -> int:
    for folder in folders:
        folder.check()
        state, cell = folder.state(), folder.cell
        does = [] if state.trained else [f"train {cell.group.recipe} from step {state.step} to {state.steps}"]
        left = state.scorings - state.scored
        does += [f"score by {', '.join(scoring.protocol for scoring in cell.scoring)}"] if left else []
        print(f"  {cell.name}: {'; '.join(does) or 'nothing, it is done'}")
    return 0


def _run(folders: Sequence[CellFolder], args: argparse.Namespace, experiment: Experiment) -> int:
    """Train and score; everything is checked before anything is computed."""
    measure = getattr(experiment.hooks(), "measure", None)
    for folder in folders:
        if not args.score or folder.state().model:
            folder.check()
    for number, folder in enumerate(folders, 1):
        name = folder.cell.name
        if args.score and not folder.state().model:
            print(f"[{number}/{len(folders)}] {name}: no model yet, left out")
            continue
        print(f"[{number}/{len(folders)}] {name}", flush=True)
        stopped = None if args.score else _train(folder)
        if stopped in ("Ctrl-C", "SIGTERM"):
            print(f"Stopped by {stopped}; the same command goes on from here.")
            return {"Ctrl-C": 130, "SIGTERM": 143}[stopped]
        if stopped is None or args.score:
            with Progress(name) as progress:
                folder.score(args.device, lambda _, done, total: progress(done, total), measure)
    return 0


def _train(folder: CellFolder) -> str | None:
    """Train a cell; return what stopped it before its last step, if anything did."""
    from scenewise.cli.train_report import ConsoleReporter

    with ConsoleReporter() as reporter:
        outcome = folder.train(reporter)
    if outcome is not None and outcome.stopped is not None:
        print(f"  stopped by {outcome.stopped} after step {outcome.step} of {outcome.steps}")
    return None if outcome is None else outcome.stopped


def _show(experiment: Experiment, out: Path, words: Sequence[str]) -> int:
    """Print and write tables and figures of all cells that have scores."""
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.results import Result, write

    kept = [(cell, CellFolder(cell, out, words).scores()) for cell in experiment.cells]
    results = [Result(cell, scores) for cell, scores in kept if scores.get("scores") or scores.get("measured")]
    if not results:
        raise InputError(out, "holds no cell with scores.", f"Run: scenewise experiment {experiment.name} --out {out}")
    shown = experiment.hooks().show(experiment, results)
    print(f"\n{shown.text}")
    hours = sum(float(result.scores.get("hours", 0)) for result in results)
    print(f"{len(results)} of {len(kept)} cells; {duration(hours * 3600)} of training")
    for file in write(experiment, shown, out):
        print(f"  {file}")
    return 0
