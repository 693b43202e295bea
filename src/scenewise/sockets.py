"""Sockets on which a page or a service listens."""

from __future__ import annotations

import socket

from scenewise.errors import InputError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: Name or address.
        port: 0 for any that is free.

    Raises:
        InputError: The address cannot be used.

    Examples:
        >>> with listen("127.0.0.1", 0) as first:
        ...     listen("127.0.0.1", first.getsockname()[1])
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: 127.0.0.1:...: cannot be used: Address already in use. Choose another ...
    """
    if not 0 <= port < 1 << 16:
        raise InputError("--port", f"must lie in [0, 65535]; found {port}.")
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(64)
    except OSError as error:
        sock.close()
        remedy = "Choose another with --port, or 0 for any that is free."
        raise InputError(f"{host}:{port}", f"cannot be used: {error.strerror}.", remedy) from error
    return sock


def host_of_address(host: str) -> str:
    """Return a host as it stands in an address.

    Examples:
        >>> host_of_address("::1"), host_of_address("localhost")
        ('[::1]', 'localhost')
    """
    return f"[{host}]" if ":" in host else host
