"""The newest frame, passed from the pipeline's threads to the server's: encoded once, and only if a viewer waits.

Nothing queues here. A viewer asks for a frame newer than its last one. While no viewer asks, no picture is copied or
encoded. A slow viewer gets the newest frame: it misses frames, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rpi_runtime.model.card import Skeleton
from rpi_runtime.rate import RunningRate
from rpi_runtime.sinks.message import make_message
from rpi_runtime.sinks.sink import Result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packet:
    """One frame as it is sent to viewers.

    Attributes
    ----------
    serial : int
        Number of the packet, from 1.
    frame : int
        `Result.index`.
    picture : bytes
        JPEG.
    wire : bytes
        For the WebSocket: four bytes, big-endian, with the length of the JSON; the JSON; the JPEG.
    """

    serial: int
    frame: int
    picture: bytes
    wire: bytes


class Hub:
    """Holds the newest frame for all viewers.

    Parameters
    ----------
    skeleton : Skeleton
    encode : callable
        Returns the JPEG of an (H, W, 3) BGR uint8 picture.
    most_fps : float
        Maximum number of pictures per second, however fast the pipeline is.

    Attributes
    ----------
    newest : Result or None
        Without its picture.
    newest_s : float
        Time of its arrival on `time.monotonic`.
    counts : Counter
        ``results``, ``encoded``, ``sent``, ``sent_bytes``, ``missed`` (by viewers that were slower).
    """

    def __init__(self, skeleton: Skeleton, encode: Callable[[Any], bytes], most_fps: float = 30.0) -> None:
        self._skeleton, self._encode = skeleton, encode
        # tolerates the jitter of a camera of exactly this rate, so that no frame is skipped
        self._least_s = 0.9 / most_fps
        self._packed_s = 0.0
        self.newest: Result | None = None
        self.newest_s = 0.0
        self.counts: Counter[str] = Counter()
        self._rate = RunningRate()
        self._packet: Packet | None = None
        self._asking = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()

    @property
    def fps(self) -> float:
        """Running mean of the results per second."""
        return self._rate.per_second

    @property
    def wanted(self) -> bool:
        """Whether a viewer is waiting for a picture and one is due."""
        return self._asking > 0 and time.monotonic() - self._packed_s >= self._least_s

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the server's loop. Called in its thread, before the first viewer."""
        self._loop = loop

    def publish(self, result: Result) -> None:
        """Take one result. Called by the sink's thread, which also encodes the picture."""
        now = time.monotonic()
        if self.newest is not None:
            self._rate.add(now - self.newest_s)
        self.newest, self.newest_s = replace(result, image=None), now
        self.counts["results"] += 1
        if result.image is None or not self.wanted or self._loop is None:
            return
        self._packed_s = now
        packet = self._pack(result)
        with contextlib.suppress(RuntimeError):  # the server is closing
            self._loop.call_soon_threadsafe(self._hand_out, packet)

    def message(self) -> dict[str, Any] | None:
        """Return the newest message, or None before the first result."""
        return make_message(self.newest, self._skeleton) if self.newest is not None else None

    async def next(self, after: int, timeout_s: float) -> Packet | None:
        """Return the newest packet with a serial above `after`; None if none arrives in time."""
        if self._packet is None or self._packet.serial <= after:
            self._asking += 1
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return None
            finally:
                self._asking -= 1
        packet = self._packet
        if packet is not None and after:
            self.counts["missed"] += max(packet.serial - after - 1, 0)
        return packet

    def _pack(self, result: Result) -> Packet:
        assert result.image is not None
        self.counts["encoded"] += 1
        picture = self._encode(result.image)
        text = json.dumps(make_message(result, self._skeleton), separators=(",", ":"), allow_nan=False)
        head = text.encode()
        wire = b"".join((len(head).to_bytes(4, "big"), head, picture))
        return Packet(serial=self.counts["encoded"], frame=result.index, picture=picture, wire=wire)

    def _hand_out(self, packet: Packet) -> None:
        self._packet = packet
        self._changed.set()
        self._changed = asyncio.Event()
