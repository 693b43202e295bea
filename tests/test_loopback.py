"""Which addresses admit nobody but this machine."""

import pytest

from scenewise.loopback import LOOPBACK, is_loopback


@pytest.mark.parametrize("host", [*LOOPBACK, "127.0.0.2", "127.255.255.254", "0:0:0:0:0:0:0:1"])
def test_only_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.0.1", "localhost.example.org", "127.0.0.1.example.org", "128.0.0.1"]
)
def test_others_too(host):
    assert not is_loopback(host)
