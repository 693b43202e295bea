"""The web application: one page, its scripts and styles, a WebSocket that answers, and files to save."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.documents import parse_json, shortened
from scenewise.errors import InputError
from scenewise.loopback import LOOPBACK
from scenewise.report.templates import source, template
from scenewise.viewer.extra import missing_extra
from scenewise.viewer.guard import Guard
from scenewise.viewer.messages import Answer
from scenewise.viewer.worker import RequestThread, Superseded

try:
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect
    from fastapi.responses import HTMLResponse, PlainTextResponse, Response
except ImportError as error:
    raise missing_extra() from error

if TYPE_CHECKING:
    from scenewise.viewer.opening import Opening

LARGEST_MESSAGE = 1 << 20
"""Bytes of the largest message that a page may send."""

SCRIPTS = ("view.js", "context.js", "link.js", "charts.js", "frames.js", "trails.js", "refinements.js", "latents.js",
           "others.js")  # fmt: skip
_WAITING = 32  # requests of one page at a time


@dataclass(frozen=True)
class Threads:
    """Who answers, both of them running.

    Attributes:
        model: Opens the desk, and answers what needs it.
        glances: Answers what does not.
    """

    model: RequestThread
    glances: RequestThread


def make_app(
    opening: Opening,
    threads: Threads,
    hosts: tuple[str, ...] = LOOPBACK,
    port: int | None = None,
    token: str | None = None,
    folder: Path | None = None,
) -> Any:
    """Return the ASGI application.

    Args:
        opening: What answers.
        threads: In which it does.
        hosts: Names under which the server may be called.
        port: The server's; None admits any.
        token: What a request must bring; None where only this machine can reach the server.
        folder: Where a film may lie while it is made; that of temporary files where None.
    """
    scratch = folder or Path(tempfile.gettempdir())
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    numbers = itertools.count()

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(template("view.html").render(title=opening.title))

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        kinds = {"page.css": "text/css", "view.css": "text/css", "paint.js": "text/javascript"}
        kind = kinds.get(name) or ("text/javascript" if name in SCRIPTS else None)
        if kind is None:
            return PlainTextResponse("There is no such file.", 404)
        if name in ("page.css", "paint.js"):
            return Response(str(source(name)), media_type=kind)
        file = resources.files("scenewise.viewer").joinpath("page", name)
        return Response(file.read_text(encoding="utf-8"), media_type=kind)

    @app.get("/save/{kind}")
    async def save(kind: str, number: int = 0, first: int = 0, last: int = 0) -> Response:
        def write() -> tuple[str, str, bytes]:
            from scenewise.viewer.saving import save as content_of  # torch

            return content_of(opening.desk(), kind, number, first, last, scratch)

        try:
            name, media_type, content = await threads.model.do(("save", next(numbers)), write)
        except InputError as error:
            return PlainTextResponse(error.line(), 400)
        except Superseded:
            return PlainTextResponse("The server ends.", 503)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media_type, headers=headers)

    @app.websocket("/link")
    async def link(socket: WebSocket) -> None:
        await _converse(socket, threads, opening, next(numbers))

    return Guard(app, hosts, port, token)


async def _converse(socket: Any, threads: Threads, opening: Opening, page: int) -> None:
    """Answer the requests of one page, several at a time, until it goes."""
    tasks = set[asyncio.Task[None]]()
    sending = asyncio.Lock()
    await socket.accept()
    try:
        while True:
            text = await socket.receive_text()
            if len(text) > LARGEST_MESSAGE:
                await socket.close(1009, "The message is too long.")
                return
            request = _parsed(text)
            if len(tasks) >= _WAITING:
                continue
            task = asyncio.create_task(_reply(socket, sending, threads, opening, page, request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        threads.model.forget(lambda kind: kind[0] == page)
        for task in tasks:
            task.cancel()


async def _reply(
    socket: Any, sending: asyncio.Lock, threads: Threads, opening: Opening, page: int, request: dict[str, Any]
) -> None:
    head = {"id": request.get("id"), "do": request.get("do")}
    kind = (page, request.get("channel") or request.get("do"))
    try:
        if request.get("do") == "glance":
            answer = await threads.glances.do(kind, partial(opening.glance, request))
        else:
            answer = await threads.model.do(kind, partial(opening.answer, request))
    except Superseded:
        answer = Answer({"superseded": True})
    except InputError as error:
        answer = Answer({"error": {"subject": str(error.subject), "problem": error.problem, "remedy": error.remedy}})
    except Exception as error:  # the page is told, and goes on
        fault = {"subject": type(error).__name__, "problem": shortened(str(error)), "remedy": ""}
        answer = Answer({"error": fault})
    async with sending:
        try:
            await socket.send_bytes(answer.encode(head))
        except (RuntimeError, ConnectionError):  # the page has gone
            return


def _parsed(text: str) -> dict[str, Any]:
    """Return a request; one that is no JSON object asks for nothing."""
    try:
        request = parse_json(text, "a request", "an object", "Send one.")
    except InputError:
        return {}
    if not isinstance(request, dict):
        return {}
    plain = (str, int)
    return request if all(isinstance(request.get(name, ""), plain) for name in ("id", "do", "channel")) else {}
