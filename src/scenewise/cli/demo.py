"""scenewise demo: see it work from nothing, with scores against the exact truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import options, threads
from scenewise.cli.output import Progress, duration, say

if TYPE_CHECKING:
    import argparse

    from scenewise.decompose import Summary

EXAMPLE = """example:
  scenewise demo --out demo

Writes the video (DIR/balls.mp4), its exact ids (DIR/ids/) and what the model found in it (DIR/balls/). Open
DIR/balls/report.html."""

_NAME = "balls"
_SHOWN = ("provide", "savi")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", default="demo", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that holds files")
    parser.add_argument("--frames", type=int, default=40, metavar="N", help="length of the video; default: %(default)s")
    parser.add_argument("--data", metavar="SOURCE", help="a generated source, such as tetrominoes; default: balls")
    parser.add_argument("--video-seed", type=int, default=7, metavar="S", help="which video; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of the posterior noise; default: %(default)s")
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    options.check_seed(args.seed)
    import scenewise as sw
    from scenewise.data.shards.writers.folders import write_video
    from scenewise.media.folders import OutputFolder, check_apart
    from scenewise.media.interruption import Interruption

    check_apart(Path(args.out), args.model)
    with OutputFolder(Path(args.out), args.overwrite) as output, Interruption() as interruption:
        decomposer = sw.load(args.model, args.device)
        options.tell_untried(args, decomposer)
        threads.choose(decomposer)
        name, sample = make_video(decomposer.frame_shape, args)
        say(f"made {len(sample.frames)} frames of {name}: seed {args.video_seed}, split test, new to every model")
        write_video(sample, output.path, _NAME, "mp4")
        result = decomposer.decompose(sample, args.slots, args.refinements, args.seed, name=_NAME)
        result.clip.origin = f"{name}, split test, seed {args.video_seed}, video 0"
        with Progress(decomposer.name) as progress:
            result.save(output.path / _NAME, progress=progress, stop=interruption)
        output.commit()
    if result.summary is not None:
        args.answer = asdict(result.summary) | {"report": str(Path(args.out) / _NAME / "report.html")}
        _tell(result.summary, decomposer.name, Path(args.out))
    return interruption.exit_code


def make_video(frame_shape: tuple[int, int, int], args: argparse.Namespace) -> tuple[str, Any]:
    """Return a source's name and a video of it that is in no training set: another seed, split test.

    Without `--data` it is coloured or binary balls of the model's size.

    Raises:
        InputError: There is no such source, or it takes no seed.
    """
    from scenewise.data import SOURCES

    if args.data is None:
        name = "balls-colour" if frame_shape[0] == 3 else "balls-binary"
        settings = {"channels": frame_shape[0], "size": frame_shape[1], "frames": args.frames}
        return name, SOURCES.get(name)(split="test", seed=args.video_seed, **settings).sample(0)
    source = SOURCES.get(args.data)(split="test", seed=args.video_seed)
    longest = source.facts.frames or args.frames
    return args.data, source.sample(0, frames=min(longest, args.frames))


def _tell(summary: Summary, model: str, out: Path) -> None:
    from scenewise.run_record import peak_memory_mib

    if summary.message:
        say(f"  {summary.message}")
    say(f"{model} against the exact truth, {summary.frames} frames:")
    say(f"  {'metric':<10}" + "".join(f"{name:>12}" for name in _SHOWN) + "   (protocol)")
    for metric in ("ARI", "F-ARI", "MSE"):
        cells = [_value(summary, protocol, metric) for protocol in _SHOWN]
        say(f"  {metric:<10}" + "".join(f"{cell:>12}" for cell in cells))
    say("  provide: mean over frames; savi: all frames of the video jointly, so a slot must keep its object")
    rate = summary.frames / max(summary.model_seconds, 1e-9)
    say(f"{rate:.1f} frames/s (all output written: {summary.frames / max(summary.seconds, 1e-9):.1f}), ", end="")
    say(f"peak memory {peak_memory_mib()} MiB, {duration(summary.seconds)}")
    say(f"open {out / _NAME / 'report.html'}")


def _value(summary: Summary, protocol: str, metric: str) -> str:
    for row in summary.scores:
        if (row["protocol"], row["metric"]) == (protocol, metric) and row["value"] is not None:
            return f"{row['value']:.4f}"
    return "-"
