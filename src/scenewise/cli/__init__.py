"""The command `scenewise`: one file per verb; libraries are imported by the verb that needs them."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

import scenewise
from scenewise.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "demo": "make a video of bouncing balls, take it apart, and score the result",
    "decompose": "take videos apart into their objects",
    "predict": "look at the start of a video and predict how it goes on",
    "sample": "make up new scenes with a model that has a prior over them",
    "render": "observe a few views of a scene and draw it from any viewpoint",
    "train": "train a model by a recipe, or on your own footage",
    "evaluate": "score a model on data with ground truth",
    "experiment": "run a paper's table: train, evaluate, and show it beside the printed numbers",
    "models": "list models, their presets, and the weights that ship",
    "data": "list, make and look at data",
    "bench": "measure speed, memory and work of models, beside the least their convolutions take",
    "doctor": "check the installation and say what is wrong",
}

_DESCRIPTION = """Take videos apart into their objects, without labels.

  scenewise demo                        see it work: two minutes, no data needed
  scenewise decompose clip.mp4 --out out
  scenewise train footage --data clip.mp4 --out runs/clip
"""
_EPILOG = "Each verb explains itself: scenewise decompose --help"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Words after `scenewise`; those of the process where None.

    Returns:
        The exit code: 0 all well, 2 something given cannot be used, 130 interrupted.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see the README on shared cores
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(words).parse_args(words)
        return int(args.run(args))
    except SystemExit as end:  # argparse has printed help or an error
        return end.code if isinstance(end.code, int) else 2
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print("error: memory: ran out. Use fewer slots, a smaller size, or close other programs.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the verb that was asked for is imported and fills its part."""
    parser = argparse.ArgumentParser(
        prog="scenewise",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scenewise {scenewise.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    first_word = next((word for word in words if not word.startswith("-")), None)
    for name, help_text in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == first_word:
            module = importlib.import_module(f"scenewise.cli.{name}")
            module.add_arguments(verb)
            verb.epilog = verb.epilog or getattr(module, "EXAMPLE", None)
            verb.set_defaults(run=module.run)
    return parser
