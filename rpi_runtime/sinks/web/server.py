"""The server's thread and its event loop, from binding the port to closing the last connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rpi_runtime.errors import OutputError, PiposeError
from rpi_runtime.sinks.web.address import Address
from rpi_runtime.sinks.web.guard import Guard
from rpi_runtime.sinks.web.hub import Hub
from rpi_runtime.sinks.web.library import aiohttp
from rpi_runtime.sinks.web.listen import listen
from rpi_runtime.sinks.web.site import Site

log = logging.getLogger(__name__)
_GOODBYE_S = 0.3
_START_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM files with the certificate chain and the private key, for HTTPS."""

    chain: str
    key: str

    def context(self) -> ssl.SSLContext:
        """Load both; raises `OutputError` if that fails."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.chain, self.key)
        except (OSError, ssl.SSLError) as err:
            raise OutputError(
                f"live page: certificate {self.chain} and key {self.key} cannot be used ({err})"
            ) from err
        return context


class LiveServer:
    """Serves a `Site` in a thread.

    Attributes
    ----------
    port : int
        The port that it listens on, after `start`.
    """

    def __init__(
        self, address: Address, site: Site, hub: Hub, guard: Guard, certificate: Certificate | None = None
    ) -> None:
        self._address, self._site, self._hub, self._guard = address, site, hub, guard
        self._certificate = certificate
        self.port = 0
        self._error: PiposeError | None = None
        self._bound = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="pipose-live", daemon=True)

    def start(self) -> None:
        """Bind and serve; raises `OutputError` if the address cannot be bound."""
        self._thread.start()
        if not self._bound.wait(_START_S):
            raise OutputError(f"live page: {self._address} could not be bound within {_START_S:g} s")
        if self._error is not None:
            raise self._error

    def check(self) -> None:
        """Raise the error that ended the server, if there is one."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Disconnect the viewers and close. Takes a fraction of a second."""
        if self._loop is not None and self._over is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._over.set)
        if self._thread.ident is not None:
            self._thread.join(3 * _GOODBYE_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except PiposeError as err:
            self._error = err
        except Exception as err:  # no error of the server may end the run
            self._error = OutputError(f"live page: {type(err).__name__}: {err}")
            log.error("%s", self._error)
        finally:
            self._bound.set()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._hub.attach(self._loop)
        runner = aiohttp().web.AppRunner(self._site.application(), **self._library_settings())
        await runner.setup()
        try:
            servers = await self._bind(self._guard.around(runner.server))
            self.port = servers[0].sockets[0].getsockname()[1]
            self._bound.set()
            await self._over.wait()
            for server in servers:
                server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._site.leave()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await runner.cleanup()

    async def _bind(self, make: Callable[[], asyncio.Protocol]) -> list[asyncio.Server]:
        context = self._certificate.context() if self._certificate else None
        handshake_s = self._guard.limits.request_s if context else None
        assert self._loop is not None
        return [
            await self._loop.create_server(make, sock=sock, ssl=context, ssl_handshake_timeout=handshake_s)
            for sock in listen(self._address)
        ]

    def _library_settings(self) -> dict[str, Any]:
        """Drop log lines about clients, because clients could fill a disk with them."""
        silent = logging.Logger("rpi_runtime.sinks.web.http", logging.CRITICAL + 1)
        return {
            "handle_signals": False,
            "access_log": None,
            "logger": silent,
            "keepalive_timeout": self._guard.limits.idle_s,
            "lingering_time": 1.0,
            "max_line_size": self._guard.limits.line,
            "max_field_size": self._guard.limits.field,
            "max_headers": self._guard.limits.headers,
            "shutdown_timeout": _GOODBYE_S / 2,
        }
