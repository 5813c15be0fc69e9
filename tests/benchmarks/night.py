"""A night in an hour: frames through the pipeline with page and broker, and a fault every minute.

    python -m tests.benchmarks.night [--frames 200000] [--minutes 60] [--model M.tflite]

The pipeline is the one of the commands `run` and `live`, with the sinks `web` and `mqtt`; the camera is a
stand-in that delivers noise as fast as it is asked for, 160x120 unless a model is given, and that stalls; the
broker is a real mosquitto that is killed and returns; viewers are real WebSockets. In turn, one each minute: a
viewer comes and goes, a viewer stalls, the broker restarts, the camera stalls. Without a model the network is
the tests' toy. Prints memory, open files and threads, and at the end what was recovered and how fast.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import aiohttp
import numpy as np
from numpy.typing import NDArray

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Delivered, StalledError, Wanted
from rpi_runtime.config import sink_config
from rpi_runtime.estimate import Estimator
from rpi_runtime.interpreter import Model
from rpi_runtime.pipeline import Limits, Pipeline
from rpi_runtime.poses import Frame
from rpi_runtime.sinks.mqtt import MqttSink
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.web import WebSink
from rpi_runtime.stop import Signals, StopFlag
from tests.rpi_runtime.sinks.mosquitto import Mosquitto, wait_for
from tests.rpi_runtime.toys import write_toy

HEADER = (
    "| frames | minutes | RSS MiB | peak MiB | files | threads | viewers' frames | broker sent / unsent | "
    "camera restarts |"
)


class Camera:
    """Noise in which, now and then, somebody seems to be; stalls when told to."""

    live = True
    stalls = threading.Event()

    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self._images = images
        self._index = 0

    def configure(self, wanted: Wanted) -> Delivered:
        height, width = self._images[0].shape[:2]
        return Delivered(width=width, height=height, what="noise")

    def start(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame | None:
        if Camera.stalls.is_set():
            time.sleep(timeout_s)
            raise StalledError(f"no frame for {timeout_s:g} s")
        time.sleep(0.001)
        now = time.monotonic_ns()
        index = self._index
        self._index += 1
        image = self._images[index % len(self._images)]
        return Frame(image=image, index=index, timestamp_ns=now, taken_ns=now)

    def stop(self) -> None:
        pass


def make_noise(width: int, height: int) -> list[NDArray[np.uint8]]:
    """Pictures for all cameras of a run: made once, so that memory is the runtime's."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8) for _ in range(16)]
    return [np.kron(image, np.ones((8, 8, 1), np.uint8)) for image in coarse]


class Faults(threading.Thread):
    """One fault each minute, in turn, until told to stop."""

    def __init__(
        self, pipeline: Pipeline, web: WebSink, mqtt: MqttSink, broker: Mosquitto, minute_s: float
    ) -> None:
        super().__init__(name="faults", daemon=True)
        self._pipeline, self._web, self._mqtt, self._broker = pipeline, web, mqtt, broker
        self._minute_s = minute_s
        self.over = threading.Event()
        self.seen: Counter[str] = Counter()
        self.frames = 0
        self.recoveries: dict[str, list[float]] = {"broker": [], "camera": []}
        self.problems: list[str] = []

    def run(self) -> None:
        for fault in itertools.cycle(
            (self.visit, self.restart_broker, self.visit_stalled, self.stall_camera)
        ):
            if self.over.wait(self._minute_s / 4):
                return
            begin = time.monotonic()
            try:
                fault()
            except Exception as err:  # what goes wrong is part of the result
                self.problems.append(f"{fault.__name__}: {type(err).__name__}: {err}")
            self.seen[fault.__name__] += 1
            if self.over.wait(max(self._minute_s * 3 / 4 - (time.monotonic() - begin), 0)):
                return

    def visit(self) -> None:
        """A viewer comes, looks for a while and goes."""
        asyncio.run(self._look(self._minute_s / 4, confirm=True))

    def visit_stalled(self) -> None:
        """A viewer comes and takes nothing."""
        asyncio.run(self._look(self._minute_s / 4, confirm=False))

    def restart_broker(self) -> None:
        """Kill the broker, let it return."""
        before = self._mqtt.broker.connections
        self._broker.kill()
        time.sleep(self._minute_s / 20)
        begin = time.monotonic()
        self._broker.start()
        if wait_for(lambda: self._mqtt.broker.connections > before, 70):
            self.recoveries["broker"].append(time.monotonic() - begin)
        else:
            self.problems.append("the broker's connection did not come back within 70 s")

    def stall_camera(self) -> None:
        """No frame until the pipeline has noticed, then frames again."""
        before = self._pipeline.feed.restarts
        Camera.stalls.set()
        wait_for(lambda: self._pipeline.feed.state == "lost", 10)
        Camera.stalls.clear()
        begin = time.monotonic()
        if wait_for(lambda: self._pipeline.feed.restarts > before, 40):
            self.recoveries["camera"].append(time.monotonic() - begin)
        else:
            self.problems.append("the camera did not come back within 40 s")

    async def _look(self, seconds: float, *, confirm: bool) -> None:
        end = time.monotonic() + seconds
        url = self._web.url + "live"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as page:
            while time.monotonic() < end and not self.over.is_set():
                message = await page.receive(timeout=30)
                if message.type == aiohttp.WSMsgType.BINARY:
                    self.frames += 1
                    if not confirm:
                        await asyncio.sleep(max(end - time.monotonic(), 0))
                        return
                    head = message.data[4 : 4 + int.from_bytes(message.data[:4], "big")]
                    number = head[head.index(b'"frame":') + 8 :].split(b",")[0]
                    await page.send_str(number.decode())
                elif message.type == aiohttp.WSMsgType.CLOSE and message.data == 1001:
                    return  # the run is over
                elif message.type != aiohttp.WSMsgType.TEXT:
                    self.problems.append(f"the server closed a viewer: {message.type.name}")
                    return


def report(pipeline: Pipeline, faults: Faults, mqtt: MqttSink, begin: float) -> None:
    """Print one line of the table."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    rss, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  only their number
    broker = mqtt.broker
    print(
        f"| {pipeline.status().frames} | {(time.monotonic() - begin) / 60:.1f} | {rss:.1f} | {peak:.1f} | {files} | "
        f"{status['Threads'].strip()} | {faults.frames} | {broker.sent} / {mqtt.outbox.dropped + broker.lost} | "
        f"{pipeline.feed.restarts} |",
        flush=True,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after this long in any case")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds from one fault to the next")
    parser.add_argument("--model", help="default: the tests' toy")
    parser.add_argument("--fps", type=float, default=0.0, help="at most so many frames a second")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    stopping = StopFlag()
    with tempfile.TemporaryDirectory() as name, Signals(stopping):
        folder = Path(name)
        model = given.model or write_toy(folder / "toy.tflite")
        broker = Mosquitto(folder, "allow_anonymous true")
        web = sink_config("web:127.0.0.1:0").make()
        mqtt = sink_config(f"mqtt:127.0.0.1:{broker.port},qos=1,buffer=200").make()
        noise = make_noise(*(640, 480) if given.model else (160, 120))
        runners = [SinkRunner(sink, stopping=stopping) for sink in (web, mqtt)]
        pipeline = Pipeline(
            Feed(lambda: Camera(noise), Wanted(), Recovery(stall_s=2.0), rng=random.Random(0)),
            Estimator([Model(model)]),
            runners,
            limits=Limits(frames=given.frames, max_fps=given.fps),
            stopping=stopping,
        )
        faults = Faults(pipeline, web, mqtt, broker, given.minute)
        runner = threading.Thread(target=pipeline.run, name="pipeline")
        begin = time.monotonic()
        runner.start()
        wait_for(lambda: pipeline.status().frames > 100)
        faults.start()
        print(HEADER + "\n|" + "---|" * 9, flush=True)
        next_at = 0.0
        while runner.is_alive():
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + max(given.minutes * 60 / 20, 5)
                report(pipeline, faults, mqtt, begin)
            if time.monotonic() - begin > given.minutes * 60:
                stopping.stop()
            runner.join(1)
        faults.over.set()
        faults.join(60)
        report(pipeline, faults, mqtt, begin)
        broker.kill()
    print(f"\n{pipeline.status().describe()}\n")
    print("faults: " + ", ".join(f"{count} x {name}" for name, count in faults.seen.items()))
    for what, took in faults.recoveries.items():
        if took:
            print(f"{what} back after {min(took):.1f} to {max(took):.1f} s, {len(took)} times")
    print(f"pictures encoded: {web._hub.counts['encoded']}; problems: {faults.problems or 'none'}")


if __name__ == "__main__":
    main()
