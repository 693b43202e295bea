"""The server of the page: where it listens, what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import secrets
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.loopback import LOOPBACK, is_loopback
from scenewise.sockets import host_of_address, listen
from scenewise.viewer.app import Threads, make_app
from scenewise.viewer.extra import missing_extra
from scenewise.viewer.worker import RequestThread, Superseded

try:
    import uvicorn
except ImportError as error:
    raise missing_extra() from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scenewise.viewer.opening import Opening

HEAD_START = 1.0
"""Seconds after which the model is loaded if no page has asked for it before: importing torch keeps the interpreter to
itself, and a page that opens at once has its first picture by then."""


@dataclass(frozen=True)
class Place:
    """Where a server listens.

    Attributes:
        host: Name or address.
        port: 0 for any that is free.
        token: What requests must bring; None on this machine's own address.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None

    @classmethod
    def of(cls, host: str, port: int) -> Place:
        """Return a place; one that other machines can reach has a token."""
        if not 0 <= port < 1 << 16:
            raise InputError("--port", f"must lie in [0, 65535]; found {port}.")
        return cls(host, port, None if is_loopback(host) else secrets.token_urlsafe(24))

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which requests may call the server."""
        if self.host in LOOPBACK:
            return LOOPBACK
        if self.host not in ("0.0.0.0", "::"):
            return (*LOOPBACK, self.host)
        name, addresses = socket.gethostname(), set[str]()  # of this machine, as far as it knows them
        with suppress(OSError):
            addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
        return (*LOOPBACK, name.lower(), *sorted(addresses))


def serve(opening: Opening, place: Place, ready: Callable[[str], None]) -> None:
    """Serve a page until the process is interrupted.

    Args:
        opening: What answers.
        place: Where.
        ready: Called with the page's address once the server listens.

    Raises:
        InputError: The address cannot be used, or the desk cannot be opened.
    """
    listening = listen(place.host, place.port)
    port = int(listening.getsockname()[1])
    with (
        listening,
        tempfile.TemporaryDirectory(prefix="scenewise-view-", ignore_cleanup_errors=True) as folder,
        RequestThread("model") as model,
        RequestThread("glances") as glances,
    ):
        # any port: a tunnel has one of its own
        app = make_app(opening, Threads(model, glances), place.names, None, place.token, Path(folder))
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws_max_size=1 << 20,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        name = socket.gethostname() if place.host in ("0.0.0.0", "::") else host_of_address(place.host)
        address = f"http://{name}:{port}/" + ("" if place.token is None else f"?token={place.token}")
        server = _AnnouncedServer(config, lambda: ready(address), lambda: model.do(("open",), opening.desk))
        server.run(sockets=[listening])
        if server.error is not None:
            raise server.error


class _AnnouncedServer(uvicorn.Server):
    """Says that it is ready once it answers, then prepares; what cannot be prepared ends it.

    Ctrl-C is already its own to hear when it says so: one that came before got lost.
    """

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], prepare: Callable[[], Awaitable[object]]
    ) -> None:
        super().__init__(config)
        self._ready, self._prepare = ready, prepare
        self._preparing: asyncio.Task[None] | None = None
        self.error: BaseException | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Start to listen."""
        await super().startup(sockets=sockets)
        self._ready()
        self._preparing = asyncio.create_task(self._prepared())

    async def _prepared(self) -> None:
        try:
            await asyncio.sleep(HEAD_START)
            await self._prepare()
        except Superseded:  # it ends already
            return
        except Exception as error:
            self.error, self.should_exit = error, True
