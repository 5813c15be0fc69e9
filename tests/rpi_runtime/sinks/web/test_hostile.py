"""Clients that mean harm, on loopback, bounded in number and time: frames keep flowing, viewers keep seeing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from rpi_runtime.sinks.web import sink as web_sink
from rpi_runtime.sinks.web.limits import WebLimits
from tests.rpi_runtime.sinks.mqtt.mosquitto import wait_for
from tests.rpi_runtime.sinks.web.clients import ask, look
from tests.rpi_runtime.sinks.web.serving import TOKEN, Feeder, page

pytest.importorskip("aiohttp")
UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture
def served(monkeypatch) -> Iterator[tuple]:
    """The page with shorter times, fed with 50 frames a second."""
    monkeypatch.setattr(
        web_sink,
        "WebLimits",
        lambda viewers: WebLimits(viewers=viewers, request_s=1.0, idle_s=1.0, stalled_s=2.0, per_address=30),
    )
    with page() as (sink, _), Feeder(sink) as feeder:
        assert wait_for(lambda: feeder.frames > 10)
        yield sink, feeder


def connect(sink, source="127.0.0.1") -> socket.socket:
    host, port = urlsplit(sink.url).netloc.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 10, source_address=(source, 0))


def is_closed(wire, seconds=10.0) -> bool:
    """Whether the server hangs up within so many seconds, whatever it says before."""
    wire.settimeout(seconds)
    try:
        while wire.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def steady(sink, feeder):
    """Frames flow as fast with what happens inside as before it, and a viewer still sees them."""
    before = feeder.count(1.0)
    begin, frames = time.monotonic(), feeder.frames
    yield
    time.sleep(max(1.0 - (time.monotonic() - begin), 0))
    rate = (feeder.frames - frames) / (time.monotonic() - begin)
    assert rate > before / 3, f"{rate:.0f} frames a second under attack, {before} before"
    _, seen = asyncio.run(look(sink, 10))
    assert len(seen) == 10


def test_headers_that_never_end_are_cut_off(served):
    sink, feeder = served
    with steady(sink, feeder):
        wires = [connect(sink) for _ in range(20)]
        for wire in wires:
            wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        deadline = time.monotonic() + 10
        while len(sink._server._site.guard) > 0 and time.monotonic() < deadline:
            for wire in wires:
                with contextlib.suppress(OSError):
                    wire.send(b"X")
            time.sleep(0.1)
        assert all(is_closed(wire) for wire in wires)
        for wire in wires:
            wire.close()
    assert sink._server._site.guard.refused["slow_request"] == 20


def test_slow_headers_on_a_second_request_are_cut_off_too(served):
    sink, _ = served
    with connect(sink) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in wire.recv(4096)
        wire.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert is_closed(wire)


def test_a_body_that_never_comes_is_cut_off(served):
    sink, _ = served
    with connect(sink) as wire:
        wire.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n")
        wire.sendall(b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken=")
        assert is_closed(wire)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(5000)) + b"\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + b"a" * 5_000_000,
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500),
        b"\x00" * 10_000,
        b"GET / HTTP/9.9\r\n\r\n",
    ],
    ids=["line", "header", "headers", "body", "smuggled", "TLS", "zeros", "version"],
)
def test_requests_that_are_too_large_or_none_are_refused(served, request_bytes):
    sink, feeder = served
    with steady(sink, feeder), connect(sink) as wire:
        answer = b""
        with contextlib.suppress(OSError):
            wire.sendall(request_bytes)
            answer = wire.recv(4096)
        assert not answer or answer.split()[1] in (b"400", b"413", b"431", b"303")
        assert is_closed(wire)


def test_many_connections_leave_room_for_others(served):
    sink, feeder = served
    with steady(sink, feeder):
        wires = []
        for _ in range(300):
            with contextlib.suppress(OSError):
                wires.append(connect(sink))
        guard = sink._server._site.guard
        most = 0
        deadline = time.monotonic() + 20
        while sum(guard.refused.values()) < len(wires) and time.monotonic() < deadline:
            most = max(most, len(guard))
            time.sleep(0.01)
        assert sum(guard.refused.values()) >= len(wires) >= 250, "too many at once, or silent for too long"
        assert guard.refused["per_address"] > 0
        assert most <= 30
        with connect(sink, "127.0.0.2") as other:  # all of 127.0.0.0/8 is loopback
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in other.recv(4096)
        for wire in wires:
            wire.close()
        assert wait_for(lambda: len(guard) == 0)


def test_wrong_tokens_by_the_score(caplog):
    caplog.set_level(logging.INFO)
    with page(token=TOKEN) as (sink, _), Feeder(sink) as feeder:
        before = feeder.count(1.0)
        begin, frames = time.monotonic(), feeder.frames
        for number in range(20):  # from the sixth on each waits a second for its answer
            assert ask(sink, "/api/poses", Authorization=f"Bearer wrong-{number:020d}")[0] in (401, 429)
        assert (feeder.frames - frames) / (time.monotonic() - begin) > before / 3
    assert len(caplog.records) <= 3, "no line a request"


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff\xff\xff",
        b"\x81\x05hello",  # not masked
        b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",  # 2^64 - 1 bytes
        b"\x81\xfe\xff\xff\0\0\0\0" + b"a" * 65535,
        b"\xc1\x81\0\0\0\0a",  # a reserved bit
        b"\x83\x80\0\0\0\0",  # a reserved opcode
        b"\x09\x80\0\0\0\0",  # a fragmented ping
        b"\x89\xfe\x00\xff\0\0\0\0" + b"a" * 255,  # a ping too long
        b"\x81\x82\0\0\0\0\xc3\x28",  # not UTF-8
        b"\x00\x81\0\0\0\0a",  # a continuation of nothing
        b"\x82\x81\0\0\0\0a",  # binary
        b"\x88\x81\0\0\0\0a",  # a close of one byte
    ],
)
def test_malformed_websocket_frames_end_that_connection_only(served, frame):
    sink, feeder = served
    with steady(sink, feeder), connect(sink) as wire:
        wire.sendall(UPGRADE)
        assert wire.recv(12) == b"HTTP/1.1 101"
        with contextlib.suppress(OSError):
            wire.sendall(frame)
        assert is_closed(wire)


def test_a_flood_of_pings_and_of_requests(served):
    sink, feeder = served

    def flood(first, more):
        with contextlib.suppress(OSError), connect(sink) as wire:
            wire.sendall(first)
            wire.setblocking(False)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                try:
                    wire.send(more)
                    wire.recv(1 << 20)
                except BlockingIOError:
                    time.sleep(0.001)

    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with steady(sink, feeder):
        floods = [(UPGRADE, b"\x89\x80\0\0\0\0" * 50), (get, get * 50), (get, get * 50)]
        threads = [threading.Thread(target=flood, args=words) for words in floods]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_a_viewer_that_stalls_is_let_go(served):
    sink, feeder = served
    with steady(sink, feeder), connect(sink) as wire:
        wire.sendall(UPGRADE)
        assert is_closed(wire, 15), "after stalled_s without a confirmation"


def test_a_stream_that_is_not_read_is_let_go(served):
    sink, feeder = served
    with steady(sink, feeder), connect(sink) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_for(lambda: sink._hub.counts["sent"] > 0)
        assert wait_for(lambda: len(sink._server._site.guard) == 0)
