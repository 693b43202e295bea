"""Which addresses a service may fetch: those below roots that whoever runs it has named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from scenewise.errors import InputError


@dataclass(frozen=True)
class Root:
    """An address below which everything may be fetched.

    Attributes:
        scheme: Such as "https", "s3", "file".
        server: Host and port, or the bucket.
        parts: Of the path.
    """

    scheme: str
    server: str
    parts: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Root:
        """Return the root of an address, or of a folder on this machine.

        Raises:
            InputError: It is none, or has a name and password in it.

        Examples:
            >>> Root.read("https://media.example.org/clips/")
            Root(scheme='https', server='media.example.org', parts=('clips',))
        """
        if "://" not in text:
            text = f"file://{os.path.realpath(text)}"
        return cls(*_parsed(text))

    def holds(self, address: str) -> bool:
        """Return whether an address lies below this root, its escapes and links followed.

        Examples:
            >>> root = Root.read("https://media.example.org/clips/")
            >>> root.holds("https://media.example.org/clips/a.mp4")
            True
            >>> root.holds("https://media.example.org/clips/%2e%2e/keys"), root.holds("https://media.example.org.evil/")
            (False, False)
        """
        try:
            scheme, server, parts = _parsed(address)
        except InputError:
            return False
        if scheme == "file":
            parts = tuple(part for part in os.path.realpath("/" + "/".join(parts)).split("/") if part)
        same = (scheme, server) == (self.scheme, self.server)
        return same and parts[: len(self.parts)] == self.parts and len(parts) > len(self.parts)


def _parsed(address: str) -> tuple[str, str, tuple[str, ...]]:
    """Return scheme, server and the parts of the path, unescaped.

    Raises:
        InputError: It is no plain address.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise InputError("url", f"is no address: {error}.", "Give one such as https://host/clip.mp4.") from error
    words = tuple(word for word in unquote(parts.path).split("/") if word)
    plain = parts.scheme and (parts.hostname or parts.scheme == "file") and not parts.fragment
    if not plain or not address.isprintable() or "@" in parts.netloc or "\\" in address or {".", ".."} & set(words):
        raise InputError("url", "is no plain address.", "Give one such as https://host/clip.mp4.")
    default = {"http": 80, "https": 443}.get(parts.scheme)
    server = (parts.hostname or "").lower() + ("" if port in (None, default) else f":{port}")
    return parts.scheme.lower(), server, words
