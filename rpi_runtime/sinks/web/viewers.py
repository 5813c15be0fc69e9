"""The connections of viewers: the page's WebSocket, with pictures and people in one message, and MJPEG for programs.

The WebSocket's protocol: the server sends ``hello`` (text), then binary frames (see
`rpi_runtime.sinks.web.hub.Packet`) and about once a second ``status`` (text). The page confirms each frame by its
number, in decimal, when it has drawn it. At most `WebLimits.in_flight` frames are unconfirmed, so a slow viewer
gets fewer frames, not older ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from rpi_runtime.sinks.web.hub import Hub
from rpi_runtime.sinks.web.library import aiohttp
from rpi_runtime.sinks.web.limits import WebLimits

_CLOSE_GOING_AWAY, _CLOSE_POLICY, _CLOSE_TRY_LATER = 1001, 1008, 1013
_STATUS_S = 1.0
_SEND_BUFFER = 128 * 1024
BOUNDARY = "pipose-frame"


class SocketViewer:
    """The WebSocket of a page.

    Parameters
    ----------
    hub : Hub
    limits : WebLimits
    hello, status : callable
        Return the text messages.
    """

    def __init__(
        self, hub: Hub, limits: WebLimits, hello: Callable[[], str], status: Callable[[], str]
    ) -> None:
        self._hub, self._limits, self._hello, self._status = hub, limits, hello, status
        self._flying: deque[int] = deque()
        self._confirmed = asyncio.Event()
        self._status_at = 0.0
        self._socket: Any = None

    async def serve(self, request: Any) -> Any:
        """Upgrade the request and serve frames until the viewer leaves, stalls or breaks the protocol."""
        self._socket = aiohttp().web.WebSocketResponse(
            compress=False, heartbeat=self._limits.stalled_s / 2, max_msg_size=64, timeout=2.0
        )
        await self._socket.prepare(request)
        reader = asyncio.ensure_future(self._read())
        writer = asyncio.ensure_future(self._write())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        return self._socket

    async def leave(self) -> None:
        """Disconnect because the server is stopping."""
        if self._socket is not None:
            with contextlib.suppress(Exception):  # it may have left
                await self._socket.send_str(self._status())
            await self._socket.close(code=_CLOSE_GOING_AWAY, message=b"server stops")

    async def _read(self) -> None:
        """Take confirmations. Anything else ends the connection."""
        async for message in self._socket:
            expected = str(self._flying[0]) if self._flying else None
            if message.type is not aiohttp().WSMsgType.TEXT or message.data != expected:
                await self._close(_CLOSE_POLICY, b"not a confirmation")
                return
            self._flying.popleft()
            self._confirmed.set()

    async def _write(self) -> None:
        last = 0
        with contextlib.suppress(ConnectionError):
            await self._send_text(self._hello())
            while True:
                await self._send_status_when_due()
                if len(self._flying) >= self._limits.in_flight and not await self._room():
                    await self._close(_CLOSE_TRY_LATER, b"no frame was confirmed for too long")
                    return
                packet = await self._hub.next(last, _STATUS_S)
                if packet is None:
                    continue
                last = packet.serial
                self._flying.append(packet.frame)
                async with asyncio.timeout(self._limits.stalled_s):
                    await self._socket.send_bytes(packet.wire)
                self._hub.counts["sent"] += 1
                self._hub.counts["sent_bytes"] += len(packet.wire)

    async def _room(self) -> bool:
        self._confirmed.clear()
        try:
            async with asyncio.timeout(self._limits.stalled_s):
                await self._confirmed.wait()
        except TimeoutError:
            return False
        return True

    async def _send_status_when_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._status_at:
            self._status_at = now + _STATUS_S
            await self._send_text(self._status())

    async def _send_text(self, text: str) -> None:
        async with asyncio.timeout(self._limits.stalled_s):
            await self._socket.send_str(text)

    async def _close(self, code: int, reason: bytes) -> None:
        with contextlib.suppress(Exception):  # a client that breaks the protocol may be gone already
            await self._socket.close(code=code, message=reason, drain=False)


async def serve_mjpeg(hub: Hub, limits: WebLimits, request: Any) -> Any:
    """Send pictures as ``multipart/x-mixed-replace`` until the viewer leaves or stalls."""
    response = aiohttp().web.StreamResponse(
        headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"}
    )
    await response.prepare(request)
    wire = request.transport.get_extra_info("socket") if request.transport is not None else None
    if wire is not None:  # small system buffers, so that a slow viewer misses frames instead of lagging
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    last = 0
    with contextlib.suppress(ConnectionError, TimeoutError):
        while request.transport is not None and not request.transport.is_closing():
            packet = await hub.next(last, _STATUS_S)
            if packet is None:
                continue
            last = packet.serial
            head = (
                f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(packet.picture)}\r\n"
                f"X-Frame: {packet.frame}\r\n\r\n"
            )
            async with asyncio.timeout(limits.stalled_s):
                await response.write(head.encode() + packet.picture + b"\r\n")
            hub.counts["sent"] += 1
            hub.counts["sent_bytes"] += len(packet.picture)
    response.force_close()
    if request.transport is not None:
        request.transport.abort()
    return response
