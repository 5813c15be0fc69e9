"""Limits that apply to every TCP connection first: their number, and the time of a first request.

The HTTP library has no limit on connections, and a client that sends its headers one byte at a time ("slowloris")
would hold a connection for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from rpi_runtime.sinks.web.limits import WebLimits


class Guard:
    """Counts connections and cuts those that break a limit.

    Parameters
    ----------
    limits : WebLimits

    Attributes
    ----------
    refused : Counter
        Connections that were cut, by reason: ``connections``, ``per_address``, ``slow_request``.
    """

    def __init__(self, limits: WebLimits) -> None:
        self.limits = limits
        self.refused: Counter[str] = Counter()
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        self._from: Counter[str] = Counter()

    def around(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return a protocol factory for `asyncio` whose connections are guarded; `make` is that of the library."""
        return lambda: _Connection(self, make)

    def __len__(self) -> int:
        """Number of open connections."""
        return len(self._open)

    def served(self, transport: asyncio.BaseTransport | None) -> None:
        """Record that a whole request has arrived, so that its connection is no longer slow."""
        if transport is not None and transport in self._open:
            self._open[transport].arrived()

    def admit(self, connection: _Connection, transport: asyncio.BaseTransport, address: str) -> bool:
        """Count a new connection, or refuse it if there are too many."""
        reason = ""
        if len(self._open) >= self.limits.connections:
            reason = "connections"
        elif self._from[address] >= self.limits.per_address:
            reason = "per_address"
        if reason:
            self.refused[reason] += 1
            return False
        self._open[transport] = connection
        self._from[address] += 1
        return True

    def forget(self, transport: asyncio.BaseTransport, address: str) -> None:
        """Record that a connection is closed."""
        del self._open[transport]
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]


class _Connection(asyncio.Protocol):
    """One connection. It forwards everything to the library's protocol."""

    def __init__(self, guard: Guard, make: Callable[[], asyncio.Protocol]) -> None:
        self._guard, self._make = guard, make
        self._inner: asyncio.Protocol | None = None
        self._transport: Any = None
        self._address = ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        if not self._guard.admit(self, transport, self._address):
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._guard.limits.request_s, self._too_slow)
        self._inner = self._make()
        self._inner.connection_made(transport)

    def arrived(self) -> None:
        """Record that the first request has arrived."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.arrived()
        if self._inner is not None:
            self._guard.forget(self._transport, self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def _too_slow(self) -> None:
        self._timer = None
        self._guard.refused["slow_request"] += 1
        self._transport.abort()
