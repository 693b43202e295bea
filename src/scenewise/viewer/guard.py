"""Who may talk to the server: only this machine's browser, on this page, or whoever holds the token."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from scenewise.loopback import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COOKIE = "scenewise-token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Refuses, before anything else sees it, a request that does not come from the page itself.

    The name in `Host` must be one that the server was told it has: a name of somebody else's that resolves to this
    machine (DNS rebinding) is refused. A request with an `Origin`, which browsers send with every WebSocket and every
    request across sites, must have that of the page. With a token every request must bring it, once in the address
    and from then on in a cookie.

    Args:
        app: The ASGI application behind it.
        hosts: Names and addresses, without ports, under which the server may be called.
        port: The server's; None admits any.
        token: What must be known; None where only this machine can reach the server.
    """

    def __init__(self, app: Any, hosts: tuple[str, ...] = LOOPBACK, port: int | None = None, token: str | None = None):
        self.app, self.hosts, self.port, self.token = app, hosts, port, token

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Answer a request as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        reason = self.objection(headers, scope.get("query_string", b"").decode("latin-1"))
        if reason is None:
            await self.app(scope, receive, self._with_headers(send, scope))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            plain = (b"content-type", b"text/plain; charset=utf-8")
            await send({"type": "http.response.start", "status": 403, "headers": [plain, *HEADERS]})
            await send({"type": "http.response.body", "body": f"Refused: {reason}\n".encode()})

    def objection(self, headers: dict[str, str], query: str = "") -> str | None:
        """Return why a request is refused, None where it is not.

        Args:
            headers: By lower-case name.
            query: What follows the question mark of the address.
        """
        host = headers.get("host", "")
        if not self._is_own(host):
            return "this name is not the server's."
        origin = headers.get("origin")
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
                return "the request comes from another page."
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "the request comes from another site."
        if self.token is not None and not self._knows_token(headers, query):
            return "the address lacks the token that `scenewise view` printed."
        return None

    def _is_own(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname, parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.path or parts.query or parts.fragment:
            return False
        return name in self.hosts and (self.port is None or (port or 80) == self.port)

    def _knows_token(self, headers: dict[str, str], query: str) -> bool:
        tokens = parse_qs(query).get("token", [])
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        candidates = [*tokens, *([cookie.value] if cookie is not None else [])]
        return any(hmac.compare_digest(one.encode(), (self.token or "").encode()) for one in candidates)

    def _with_headers(self, send: Any, scope: dict[str, Any]) -> Any:
        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), *HEADERS]
                if self.token is not None and b"token=" in scope.get("query_string", b""):
                    cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                    headers.append((b"set-cookie", cookie.encode()))
                message = {**message, "headers": headers}
            await send(message)

        return answer
