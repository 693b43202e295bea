"""scenewise render: observe a few views of a scene and draw it from any viewpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import options, threads
from scenewise.cli.options import add_source_options, numbered, open_source
from scenewise.cli.output import duration, say
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

    from scenewise.scenes.rendering import Rendering

EXAMPLE = """examples:
  scenewise render cle-mv#3 --model runs/mulmon-cle-mv/model --observe 0,3,7 --out scene
  scenewise render cle-mv#3 --model runs/mulmon-cle-mv/model --observe 0,3,7 --query 1,2 --out scene
  scenewise render data/clevr_mv#12 --model runs/mulmon-cle-mv/model --observe 5 --out scene

Writes report.html, sheet.png, turn.mp4 (where viewpoints lie on a ring), arrays.npz and run.json. Open
DIR/report.html."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "scene",
        metavar="SCENE",
        help="SOURCE#INDEX, such as cle-mv#3, or a folder of MulMON's layouts (its first scene)",
    )
    parser.add_argument("--observe", required=True, metavar="V,V,...", help="views to observe, from 0, in this order")
    parser.add_argument("--query", default="all", metavar="all|V,V,...", help="views to draw; default: %(default)s")
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that holds files")
    parser.add_argument("--seed", type=int, default=0, help="seed of the posterior noise; default: %(default)s")
    options.add_model(parser, default=None)
    add_source_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    observed = views(args.observe, "--observe")
    queried = None if args.query == "all" else views(args.query, "--query")
    request = options.request(args, "slots", "refinements", "seed")
    import time

    import scenewise as sw
    from scenewise.media.folders import OutputFolder, check_apart
    from scenewise.scenes.files import described, write_rendering
    from scenewise.scenes.page import REPORT, write_page
    from scenewise.scenes.rendering import drawing_model, open_scene, render_scene

    decomposer = sw.load(args.model, args.device)
    drawing_model(decomposer)
    options.tell_untried(args, decomposer)
    threads.choose(decomposer)
    name, index = numbered(args.scene) or (args.scene, 0)
    check_apart(Path(args.out), name, args.model)
    source = open_source(name, args.split, args.settings)
    started = time.perf_counter()
    with OutputFolder(Path(args.out), args.overwrite) as output:
        scene = open_scene(source, index, f"{Path(name).stem}-{index}", decomposer.model)
        slots, refinements, seed = request.slots, request.refinements, request.seed
        rendering = render_scene(decomposer, scene, observed, queried, slots=slots, refinements=refinements, seed=seed)
        settings = _settings(args, source, rendering)
        write_page(rendering, output.path / REPORT, decomposer.name, settings | described(decomposer))
        write_rendering(rendering, output.path, decomposer, settings)
        output.commit()
    _tell(args, rendering, time.perf_counter() - started)
    return 0


def views(text: str, option: str) -> list[int]:
    """Return numbers of views.

    Raises:
        InputError: They are not whole numbers separated by commas.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        problem = f"expected whole numbers with commas, such as 0,3,7; found {text!r}."
        raise InputError(option, problem) from None


def _settings(args: argparse.Namespace, source: Any, rendering: Rendering) -> dict[str, Any]:
    return {
        "scene": args.scene,
        "split": args.split,
        "source": {"settings": args.settings, "origin": source.facts.origin, "fingerprint": source.fingerprint()},
        "source_size": list(rendering.scene.source_size),
        "observe": list(rendering.observed),
        "query": list(rendering.queried),
        "slots": len(rendering.mean),
        "refinements": args.refinements,
        "seed": args.seed,
    }


def _tell(args: argparse.Namespace, rendering: Rendering, seconds: float) -> None:
    from scenewise.scenes.files import summary
    from scenewise.scenes.page import REPORT

    facts = summary(rendering)
    args.answer = facts | {"report": str(Path(args.out) / REPORT), "seconds": seconds}
    say(f"{args.scene}: {len(facts['observed'])} views observed, {len(facts['queried'])} drawn, {duration(seconds)}")
    if facts["rmse"] is not None:
        fit = "" if facts["miou"] is None else f", mIoU {facts['miou']:.4f}"
        say(f"  {facts['novel_views']} views not observed: RMSE {facts['rmse']:.4f} (summed over channels){fit}")
    say(f"  {Path(args.out) / REPORT}")
