"""Hostile clients and a failing broker, one after the other: python -m tests.benchmarks.network_faults

A pipeline of the tests' toy network runs at 30 frames a second with the page and MQTT as sinks, in this process; each
fault lasts some seconds. A fresh page of its own for each browser-side fault keeps rates and limits apart. Prints a
Markdown table: the frames per second before and during the fault, what happened, how long recovery took.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.capture.feed import Feed
from rpi_runtime.capture.source import Delivered, Wanted
from rpi_runtime.estimate import Estimator
from rpi_runtime.model.interpreter import Model
from rpi_runtime.pipeline import Pipeline, RunLimits
from rpi_runtime.poses import Frame
from rpi_runtime.settings.run_config import sink_config
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.web.sink import LivePage, WebOptions, WebSink
from rpi_runtime.stop import StopFlag
from tests.rpi_runtime.sinks.mqtt.mosquitto import Mosquitto, SlowProxy, free_port, make_authority, wait_for
from tests.rpi_runtime.sinks.web.serving import TOKEN
from tests.rpi_runtime.sinks.web.test_hostile import UPGRADE
from tests.rpi_runtime.toys import write_toy

FAULT_S = 5.0


class Camera:
    """Noise in which, now and then, somebody seems to be, as fast as it is asked for."""

    live = True

    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self._images = images
        self._index = 0

    def configure(self, wanted: Wanted) -> Delivered:
        height, width = self._images[0].shape[:2]
        return Delivered(width=width, height=height, what="noise")

    def start(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame | None:
        time.sleep(0.001)
        now = time.monotonic_ns()
        index = self._index
        self._index += 1
        image = self._images[index % len(self._images)]
        return Frame(image=image, index=index, timestamp_ns=now, taken_ns=now)

    def stop(self) -> None:
        pass


def make_noise(width: int, height: int) -> list[NDArray[np.uint8]]:
    """Sixteen pictures of squares."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8) for _ in range(16)]
    return [np.kron(image, np.ones((8, 8, 1), np.uint8)) for image in coarse]


@contextlib.contextmanager
def running(folder: Path, sink: Any) -> Iterator[Pipeline]:
    """A pipeline at 30 frames a second into one sink."""
    stopping = StopFlag()
    noise = make_noise(160, 120)
    pipeline = Pipeline(
        Feed(lambda: Camera(noise), Wanted()),
        Estimator([Model(folder / "toy.tflite")]),
        [SinkRunner(sink, stopping=stopping)],
        limits=RunLimits(max_fps=30),
        stopping=stopping,
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        assert wait_for(lambda: pipeline.status().frames > 30)
        yield pipeline
    finally:
        stopping.stop()
        thread.join()


def rate(pipeline: Pipeline, during: Callable[[], None] | None = None) -> float:
    """Frames a second while something goes on, or for some seconds."""
    begin, frames = time.monotonic(), pipeline.status().frames
    if during is not None:
        during()
    time.sleep(max(FAULT_S - (time.monotonic() - begin), 0))
    return (pipeline.status().frames - frames) / (time.monotonic() - begin)


def connect(sink: LivePage) -> socket.socket:
    """One connection to the page."""
    host, port = urlsplit(sink.url).netloc.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 10)


def hostile(folder: Path, attack: Callable[[LivePage], str], **options: Any) -> str:
    """Attack the page, and count frames."""
    sink: Any = WebSink(WebOptions(target="127.0.0.1:0", **options))
    with running(folder, sink) as pipeline:
        sink = pipeline.sinks[0].opened
        before = rate(pipeline)
        said = []
        during = rate(pipeline, lambda: said.append(attack(sink)))
    return f"{before:.1f} | {during:.1f} | {said[0]} | none needed"


def answers(sink: LivePage, *requests: bytes) -> str:
    """Send each request on a connection of its own; say which status came how often."""
    seen: dict[str, int] = {}
    for request in requests:
        with contextlib.suppress(OSError), connect(sink) as wire:
            wire.settimeout(12)
            wire.sendall(request)
            words = wire.recv(4096).split()
            word = words[1].decode() if len(words) > 1 else "closed"
            seen[word] = seen.get(word, 0) + 1
    return "answered " + ", ".join(f"{word} x {count}" for word, count in seen.items())


def slow_headers(sink: LivePage) -> str:
    """Forty connections that send a byte now and then."""
    wires = [connect(sink) for _ in range(40)]
    begin = time.monotonic()
    guard = sink._server._site.guard
    for wire in wires:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    while len(guard) > 0 and time.monotonic() - begin < 20:
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.send(b"G")
        time.sleep(0.5)
    for wire in wires:
        wire.close()
    return f"{guard.refused['slow_request']} of 40 cut off after {time.monotonic() - begin:.0f} s"


def many_connections(sink: LivePage) -> str:
    """Two hundred connections that say nothing."""
    wires = []
    for _ in range(200):
        with contextlib.suppress(OSError):
            wires.append(connect(sink))
    guard = sink._server._site.guard
    wait_for(lambda: guard.refused["per_address"] >= 150, 5)
    text = f"{len(guard)} held, {guard.refused['per_address']} refused"
    for wire in wires:
        wire.close()
    return text


def malformed(sink: LivePage) -> str:
    """WebSocket frames that are none."""
    frames = (b"\xff" * 6, b"\x81\x05hello", b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, b"\x83\x80\0\0\0\0")
    closed = 0
    for frame in frames:
        with connect(sink) as wire:
            wire.settimeout(5)
            wire.sendall(UPGRADE + frame)
            with contextlib.suppress(OSError):
                while wire.recv(65536):
                    pass
            closed += 1
    return f"{closed} of {len(frames)} connections closed"


def traversal(sink: LivePage) -> str:
    """Paths that lead elsewhere."""
    paths = (b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/page.js/../site.py", b"//etc/passwd")
    return answers(sink, *(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths))


def wrong_tokens(sink: LivePage) -> str:
    """A hundred guesses."""
    guess = b"GET /api/poses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer guess-number-%d\r\n\r\n"
    text = answers(sink, *(guess % number for number in range(100)))
    return f"{text}; {sink._server._site.refused['wrong_token']} were compared, one line in the log"


def huge(sink: LivePage) -> str:
    """Headers and bodies beyond the limits."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    form = b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    body = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n" + form + b"a" * 900_000
    return answers(
        sink, head + b"X: " + b"a" * 60_000 + b"\r\n\r\n", head + b"X: a\r\n" * 3000 + b"\r\n", body
    )


def stalled_viewers(sink: LivePage) -> str:
    """Eight viewers that take nothing."""
    wires = [connect(sink) for _ in range(8)]
    for wire in wires:
        wire.sendall(UPGRADE)
    time.sleep(FAULT_S - 1)
    text = f"{sink._hub.counts['sent']} frames sent to 8 viewers in all"
    for wire in wires:
        wire.close()
    return text


# The broker's side.


def broker_returns(folder: Path, seconds: float) -> str:
    """Kill the broker, let it return."""
    broker = Mosquitto(folder, "allow_anonymous true")
    sink: Any = sink_config(f"mqtt:127.0.0.1:{broker.port},qos=1").make()
    with running(folder, sink) as pipeline:
        sink = pipeline.sinks[0].opened
        assert wait_for(lambda: sink.connection.connected)
        before = rate(pipeline)
        broker.kill()
        during = rate(pipeline, lambda: time.sleep(seconds))
        broker.start()
        begin = time.monotonic()
        wait_for(lambda: sink.connection.connections == 2, 70)
        took = time.monotonic() - begin
        wait_for(lambda: len(sink.outbox) == 0)
    broker.kill()
    what = f"away {seconds:g} s; {sink.outbox.dropped} of its messages dropped, {sink.connection.lost} lost"
    return f"{before:.1f} | {during:.1f} | {what} | {took:.1f} s"


def wrong_password(folder: Path) -> str:
    """A wrong password, which the broker then learns to be right."""
    file = folder / "passwords"
    write = ["mosquitto_passwd", "-b", str(file), "pi"]
    file.touch(mode=0o644)
    subprocess.run([*write, "another-one"], check=True, capture_output=True)
    broker = Mosquitto(folder, "allow_anonymous false", f"password_file {file}")
    sink: Any = MqttSink(MqttOptions(target=f"127.0.0.1:{broker.port}", username="pi", password="right-one"))
    with running(folder, sink) as pipeline:
        sink = pipeline.sinks[0].opened
        during = rate(pipeline)
        reason = sink.connection.trouble
        subprocess.run([*write, "right-one"], check=True, capture_output=True)
        broker.kill()
        broker.start()
        begin = time.monotonic()
        wait_for(lambda: sink.connection.connected, 70)
        took = time.monotonic() - begin
    broker.kill()
    return f"30 | {during:.1f} | said once: {reason} | {took:.1f} s after the broker knew it"


def wrong_authority(folder: Path) -> str:
    """A broker whose certificate another authority has signed."""
    _, certificate, key = make_authority(folder)
    other, _, _ = make_authority(folder, "other")
    broker = Mosquitto(folder, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    sink: Any = MqttSink(MqttOptions(target=f"localhost:{broker.port}", ca_file=str(other)))
    with running(folder, sink) as pipeline:
        sink = pipeline.sinks[0].opened
        during = rate(pipeline)
        reason = sink.connection.trouble
        sent = sink.connection.client.sent
    broker.kill()
    return f"30 | {during:.1f} | nothing sent ({sent}); said once: {reason} | none wanted"


def slow_network(folder: Path) -> str:
    """A network of 2 kB a second, then a fast one again."""
    broker = Mosquitto(folder, "allow_anonymous true")
    proxy = SlowProxy(broker.port, rate=10**9)
    sink: Any = MqttSink(MqttOptions(target=f"127.0.0.1:{proxy.port}", buffer=30))
    with running(folder, sink) as pipeline:
        sink = pipeline.sinks[0].opened
        assert wait_for(lambda: sink.connection.connected)
        before = rate(pipeline)
        proxy.rate = 2000
        during = rate(pipeline, lambda: time.sleep(30))
        waiting, dropped = len(sink.outbox), sink.outbox.dropped
        proxy.rate = 10**9
        begin = time.monotonic()
        wait_for(lambda: len(sink.outbox) <= 1, 60)
        took = time.monotonic() - begin
    broker.kill()
    proxy.close()
    what = f"30 s at 2 kB/s: {waiting} waited, {dropped} dropped"
    return f"{before:.1f} | {during:.1f} | {what} | {took:.1f} s until the buffer was empty"


def late_broker(folder: Path) -> str:
    """A broker that starts after the pipeline."""
    port = free_port()
    sink: Any = sink_config(f"mqtt:127.0.0.1:{port}").make()
    with running(folder, sink) as pipeline:
        sink = pipeline.sinks[0].opened
        during = rate(pipeline)
        broker = Mosquitto(folder, "allow_anonymous true", port=port)
        begin = time.monotonic()
        wait_for(lambda: sink.connection.connected, 70)
        took = time.monotonic() - begin
    broker.kill()
    return f"30 | {during:.1f} | not there for {FAULT_S:g} s | {took:.1f} s"


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    logging.getLogger("rpi_runtime").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_toy(folder / "toy.tflite")
        table: dict[str, Callable[[], str]] = {
            "40 clients send headers byte by byte": lambda: hostile(folder, slow_headers),
            "headers and body far too large": lambda: hostile(folder, huge),
            "200 connections of one address": lambda: hostile(folder, many_connections),
            "path traversal": lambda: hostile(folder, traversal),
            "100 wrong tokens": lambda: hostile(folder, wrong_tokens, token=TOKEN),
            "malformed WebSocket frames": lambda: hostile(folder, malformed),
            "8 viewers that take nothing": lambda: hostile(folder, stalled_viewers),
            "broker killed, back after 5 s": lambda: broker_returns(folder, 5),
            "broker killed, back after 30 s": lambda: broker_returns(folder, 30),
            "broker not there at the start": lambda: late_broker(folder),
            "broker refuses the password": lambda: wrong_password(folder),
            "broker's certificate is another's": lambda: wrong_authority(folder),
            "slow network to the broker": lambda: slow_network(folder),
        }
        print("| fault | frames/s before | during | what happened | recovery |\n|---|---|---|---|---|")
        for fault, inject in table.items():
            print(f"| {fault} | {inject()} |", flush=True)


if __name__ == "__main__":
    main()
