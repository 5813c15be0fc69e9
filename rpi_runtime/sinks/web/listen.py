"""The sockets of the page: every address that its host name stands for, and what to do when one cannot be had."""

from __future__ import annotations

import errno
import socket

from rpi_runtime.errors import OutputError
from rpi_runtime.sinks.web.address import DEFAULT_PORT, Address

_BACKLOG = 64
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(address: Address) -> list[socket.socket]:
    """Bind and listen; ``[::]`` takes IPv4 too, and a name with an address that this machine lacks takes the others.

    Raises
    ------
    OutputError
        No address can be had, or one is in use; with what can be done about that.
    """
    sockets: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        for family, host in _hosts(address):
            try:
                port = sockets[0].getsockname()[1] if sockets else address.port
                sockets.append(_open(family, host, port))
            except OSError as err:
                if err.errno not in _NOT_HERE:
                    raise
                lacking = err
        if not sockets and lacking is not None:
            raise lacking
    except OSError as err:
        for opened in sockets:
            opened.close()
        raise refusal(address, err) from err
    return sockets


def _hosts(address: Address) -> list[tuple[socket.AddressFamily, str]]:
    """Families and addresses behind the host, without repetition; of all of IPv6 also all of IPv4, where it is off."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    if address.host == "::" and not _has_ipv6():
        return [(socket.AF_INET, "0.0.0.0")]
    return list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _open(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        made.bind((host, port))
        made.listen(_BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def refusal(address: Address, err: OSError) -> OutputError:
    """Return the error for an address that cannot be bound, with a remedy that can help."""
    place = "as in --listen {}, or target = in a configuration file"
    if isinstance(err, socket.gaierror):
        remedy = "there is no such name; give an address of this machine, 0.0.0.0 for all, or [::]"
    elif err.errno in _NOT_HERE:
        remedy = "this machine has no such address at the moment; a service waits for it, and 0.0.0.0 or [::] is all"
    elif err.errno in (errno.EACCES, errno.EPERM):
        usual = place.format(Address(address.host, DEFAULT_PORT))
        remedy = f"ports below 1024 are root's; choose another port, {usual}"
    else:
        other = address.port + 1 if address.port < 65535 else address.port - 1
        remedy = f"choose another port, {place.format(Address(address.host, other))}"
    return OutputError(f"live page: {address} cannot be bound ({err.strerror or err}); {remedy}")
