"""Addresses to listen on, and what is said of those that cannot be had."""

from __future__ import annotations

import errno
import socket

import pytest

from rpi_runtime.errors import OutputError
from rpi_runtime.sinks.web.address import Address
from rpi_runtime.sinks.web.listen import listen, refusal


def reaches(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as wire:
            wire.bind(("::1", 0))
    except OSError:
        return False
    return True


def close(sockets):
    for opened in sockets:
        opened.close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_all_of_ipv6_is_also_all_of_ipv4():
    sockets = listen(Address("::", 0))
    port = sockets[0].getsockname()[1]
    assert reaches("::1", port)
    assert reaches("127.0.0.1", port)
    close(sockets)


def test_all_addresses_where_there_is_no_ipv6(monkeypatch):
    really = socket.socket

    def without(family=socket.AF_INET, *more, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return really(family, *more, **options)

    monkeypatch.setattr(socket, "socket", without)
    sockets = listen(Address("::", 0))
    assert reaches("127.0.0.1", sockets[0].getsockname()[1])
    close(sockets)


def test_a_name_with_an_address_that_is_not_there_takes_the_others(monkeypatch):
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = listen(Address("localhost", 0))
    assert [s.family for s in sockets] == [socket.AF_INET]
    close(sockets)


def test_an_address_that_is_not_there_yet():
    with pytest.raises(OutputError, match=r"198\.51\.100\.7:8080 cannot be bound .*a service waits for it"):
        listen(Address("198.51.100.7", 8080))


def test_a_name_that_does_not_exist(monkeypatch):
    error = socket.gaierror(-2, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(OutputError, match="there is no such name"):
        listen(Address("no.such.name", 8080))


@pytest.mark.parametrize(
    ("host", "port", "number", "remedy"),
    [
        ("127.0.0.1", 8080, errno.EADDRINUSE, "as in --listen 127.0.0.1:8081"),
        ("127.0.0.1", 65535, errno.EADDRINUSE, "as in --listen 127.0.0.1:65534"),
        ("::1", 8080, errno.EADDRINUSE, "as in --listen [::1]:8081"),
        ("0.0.0.0", 80, errno.EACCES, "as in --listen 0.0.0.0:8080"),
        ("10.9.9.9", 8080, errno.EADDRNOTAVAIL, "no such address at the moment"),
    ],
)
def test_remedies_can_help(host, port, number, remedy):
    text = str(refusal(Address(host, port), OSError(number, "reason")))
    assert remedy in text
    assert "None" not in str(refusal(Address(host, port), OSError("asyncio's own")))


def test_a_port_in_use_leaves_nothing_open():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OutputError, match="choose another port"):
            listen(Address("127.0.0.1", port))
