"""The server of the page: where it listens, what it prints, and how it ends."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.loopback import LOOPBACK, is_loopback
from scenewise.sockets import host_of_address, listen
from scenewise.viewer.app import make_app
from scenewise.viewer.extra import missing_extra
from scenewise.viewer.worker import RequestThread

try:
    import uvicorn
except ImportError as error:
    raise missing_extra() from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.viewer.desk import Desk


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


def serve(desk: Desk, place: Place, ready: Callable[[str], None]) -> None:
    """Serve a page until the process is interrupted.

    Args:
        desk: What answers.
        place: Where.
        ready: Called with the page's address once the server listens.

    Raises:
        InputError: The address cannot be used.
    """
    listening = listen(place.host, place.port)
    port = int(listening.getsockname()[1])
    with listening, RequestThread() as worker:
        app = make_app(desk, worker, place.names, None, place.token)  # any port: a tunnel has one of its own
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
        _AnnouncedServer(config, lambda: ready(address)).run(sockets=[listening])


class _AnnouncedServer(uvicorn.Server):
    """Says that it is ready once it answers, and Ctrl-C is already its own to hear: one that came before got lost."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        """Start to listen."""
        await super().startup(sockets=sockets)
        self._ready()
