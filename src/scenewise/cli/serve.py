"""scenewise serve: take videos apart for programs elsewhere, over HTTP."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli import options, output
from scenewise.cli.batch import job_of, worker_count
from scenewise.cli.output import say
from scenewise.errors import InputError
from scenewise.loopback import LOOPBACK, is_loopback
from scenewise.media.files import read_text
from scenewise.sockets import host_of_address, listen

if TYPE_CHECKING:
    import argparse

EXAMPLE = """examples:
  scenewise serve --model provide-balls-colour --out served
  scenewise serve --out served --host 0.0.0.0 --token-file token --fetch https://media.example.org/clips/

  curl -H 'Content-Type: video/mp4' --data-binary @clip.mp4 'http://127.0.0.1:8000/jobs?name=clip.mp4'
  curl http://127.0.0.1:8000/jobs/ID
  curl -O http://127.0.0.1:8000/jobs/ID/files/tracks.csv

http://127.0.0.1:8000/docs describes every question. Without a token only this machine may ask. Ctrl-C and SIGTERM end
it; what waits then is done by the next one with the same --out."""

_TOKEN = "SCENEWISE_TOKEN"
_LEAST_TOKEN = 16  # letters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of videos that wait, and of results")
    options.add_model(parser)
    options.add_formats(parser)
    options.add_engine(parser, compiles=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument(
        "--token-file", metavar="FILE", help=f"file with the token that all must bring, or set {_TOKEN}"
    )
    parser.add_argument(
        "--fetch",
        action="append",
        default=[],
        metavar="ROOT",
        help="address (https://host/path/, s3://bucket/) or folder below which videos may be fetched; may be repeated",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument("--workers", type=int, metavar="N", help="videos at a time; default: one a GPU, or a core")
    limits.add_argument("--queue", type=int, default=32, metavar="N", help="videos that may wait; default: %(default)s")
    limits.add_argument("--most-megabytes", type=int, default=512, metavar="N", help="size; default: %(default)s")
    limits.add_argument("--most-frames", type=int, default=20_000, metavar="N", help="length; default: %(default)s")
    limits.add_argument("--keep", type=int, default=1000, metavar="N", help="results that stay; default: %(default)s")
    options.add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it, which is told as everywhere: 130 by Ctrl-C, 143 by SIGTERM."""
    try:
        import uvicorn

        from scenewise.serve.app import make_app
    except ImportError as error:
        raise InputError("serve", "needs FastAPI and uvicorn.", "pip install 'scenewise[serve]'") from error
    from scenewise.batch.pool import LocalPool
    from scenewise.serve.roots import Root
    from scenewise.serve.service import Service, ServiceLimits

    token = _token(args)
    limits = ServiceLimits(args.most_megabytes, args.most_frames, args.queue, args.keep)
    roots = [Root.read(text) for text in args.fetch]
    workers = worker_count(args.workers, args.device)
    with listen(args.host, args.port) as listening:
        job, model = job_of(args)
        job = replace(job, most_frames=limits.frames, most_bytes=limits.megabytes << 20, redirects=False)
        service = Service(job, model, limits, roots)
        work = threading.Thread(target=service.work, args=(partial(LocalPool, job, workers, service.held),))
        work.start()
        try:
            address = f"http://{host_of_address(args.host)}:{listening.getsockname()[1]}"
            say(f"{model} on {address}, described at {address}/docs")
            output.announce({"model": model, "address": address, "description": f"{address}/openapi.json"})
            app = make_app(service, token, (*LOOPBACK, args.host))
            config = uvicorn.Config(app, log_level="warning", server_header=False)
            uvicorn.Server(config).run([listening])  # raises a signal again once it has ended; uvicorn.run forgets it
        finally:
            service.end()
            work.join()
            service.close()
    return 0


def _token(args: argparse.Namespace) -> str | None:
    """Return the token, None where only this machine can ask.

    Raises:
        InputError: It is short, or there is none and others could ask.
    """
    token = os.environ.get(_TOKEN)
    if args.token_file is not None:
        path = Path(args.token_file)
        if not path.is_file():
            raise InputError(path, "is no file.", "Write the token into a file.")
        token = read_text(path).strip()
    if token is not None and len(token) < _LEAST_TOKEN:
        remedy = "Make one by: openssl rand -hex 16"
        raise InputError("token", f"must have at least {_LEAST_TOKEN} letters; found {len(token)}.", remedy)
    if token is None and not is_loopback(args.host):
        problem = f"without a token only this machine may ask; {args.host} lets others in."
        raise InputError("--host", problem, f"Give --token-file or set {_TOKEN}.")
    return token
