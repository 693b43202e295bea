"""Addresses by which only this machine can be reached."""

from __future__ import annotations

import ipaddress

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens there.

    Args:
        host: A name or an address, without a port.

    Examples:
        >>> [is_loopback(host) for host in ("localhost", "127.0.1.1", "::1", "0.0.0.0", "example.org")]
        [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
