"""A night in an hour: the service itself, and every minute viewers, a broker restart and a lost camera.

    nice -n 5 python -m tests.benchmarks.night --model M.tflite [--frames 200000] [--fps 140]

The process is the one that the systemd unit starts, on the configuration that the installer writes, with the page
and MQTT added; this program is its supervisor at $NOTIFY_SOCKET and watches it from outside, in /proc. The camera is
Motion JPEG over HTTP, small pictures of two people who come and go; the broker is a real mosquitto. In each minute
three viewers come and go, one of which takes nothing; the broker is killed and returns; the camera stalls in the odd
minutes and hangs up in the even ones, until the service has said that it is lost.

Prints a line for each twentieth of the run. Ends with 1, and says why, when from the first tenth to the end memory grew
beyond the tolerance; when files or threads at rest grew; when a sign of life stayed away longer than the unit's
WatchdogSec; when a broker or camera did not come back, or the service did not stop as it should.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np

from rpi_runtime.capture.pictures import encode_picture, read_picture
from rpi_runtime.service.config_text import config_text
from rpi_runtime.service.layout import RUNTIME
from rpi_runtime.service.unit import TEMPLATE
from rpi_runtime.settings.run_config import source_config
from tests.benchmarks.servers import SECRET, MjpegServer
from tests.benchmarks.watched import Heard, Look, Watched
from tests.rpi_runtime.sinks.mqtt.mosquitto import Listener, Mosquitto, free_port, wait_for

PICTURES = Path(__file__).parents[1] / "pictures"
STOP_S = 2.0
SINKS = """
[[sink]]
kind = "web"
target = "127.0.0.1:{web}"

[[sink]]
kind = "mqtt"
target = "127.0.0.1:{broker}"
name = "night"
qos = 1
buffer = 200
"""


def unit_value(key: str) -> float:
    """A number that stands in the unit."""
    (value,) = re.findall(rf"^{key}=(\d+)M?$", TEMPLATE, re.MULTILINE)
    return float(value)


def make_pictures() -> list[bytes]:
    """160x120: a while the one person, a while the other, moving to and fro, a while nobody."""
    jpegs = []
    for name in ("astronaut.jpg", "camera.jpg", ""):
        person = (
            read_picture(PICTURES / name)[16:496:4, ::4] if name else np.full((120, 128, 3), 90, np.uint8)
        )
        moves = []
        for shift in (*range(0, 32, 2), *range(32, 0, -2)):
            image = np.full((120, 160, 3), 128, np.uint8)
            image[:, shift : shift + 128] = person
            moves.append(encode_picture(image, ".jpg", 85))
        jpegs += moves * 10
    return jpegs


def write_config(folder: Path, model: Path, camera: MjpegServer, web: int, broker: int) -> Path:
    """The installer's configuration, with its file of poses in `folder`, and with page and MQTT."""
    text = config_text([model.resolve()], source_config(f"stream:{camera.url}"))
    text = "threads = 1\n" + text.replace(str(RUNTIME), str(folder)) + SINKS.format(web=web, broker=broker)
    path = folder / "config.toml"
    path.write_text(text)
    return path


class Faults(threading.Thread):
    """What happens in each minute, one after the other, until told to stop."""

    def __init__(
        self, service: Watched, camera: MjpegServer, broker: Mosquitto, page: str, minute_s: float
    ) -> None:
        super().__init__(name="faults", daemon=True)
        self._service, self._camera, self._broker, self._page = service, camera, broker, page
        self._minute_s = minute_s
        self.over = threading.Event()
        self.seen: Counter[str] = Counter()
        self.recoveries: dict[str, list[float]] = {"broker": [], "camera": []}
        self.problems: list[str] = []

    def run(self) -> None:
        minute = 0
        while not self.over.is_set():
            minute += 1
            lose = self.stall_camera if minute % 2 else self.end_camera
            for fault in (self.visit, self.restart_broker, lose):
                begin = time.monotonic()
                if not self.over.is_set():
                    self._attempt(fault)
                self.over.wait(max(self._minute_s / 3 - (time.monotonic() - begin), 0))

    def _attempt(self, fault: Callable[[], None]) -> None:
        try:
            fault()
        except Exception as err:  # what goes wrong is part of the result
            self.problems.append(f"{fault.__name__}: {type(err).__name__}: {err}")
        self.seen[fault.__name__] += 1

    def visit(self) -> None:
        """A page that looks, a page that takes nothing, a program that reads the stream; then they go."""
        asyncio.run(self._visit(self._minute_s / 4))

    def restart_broker(self) -> None:
        """Kill the broker, let it return; it has forgotten everything, so `online` is new."""
        self._broker.kill()
        time.sleep(self._minute_s / 20)
        begin = time.monotonic()
        self._broker.start()
        listener = Listener(self._broker.port, "pipose/night/status")
        if wait_for(lambda: b"online" in listener.of("pipose/night/status"), 70):
            self.recoveries["broker"].append(time.monotonic() - begin)
        else:
            self.problems.append("the connection to the broker did not come back within 70 s")
        listener.close()

    def stall_camera(self) -> None:
        """No frame on an open connection until the service has noticed, then frames again."""
        self._lose_camera(lambda: self._camera.hold(True), lambda: self._camera.hold(False))

    def end_camera(self) -> None:
        """The camera hangs up, and takes no calls until the service has noticed."""
        self._lose_camera(self._camera.close, self._camera.open)

    def _lose_camera(self, take: Callable[[], None], give: Callable[[], None]) -> None:
        before = self._restarts()
        take()
        if not wait_for(lambda: "lost" in self._service.heard.status, 12):
            self.problems.append("the service did not say that the camera is lost")
        give()
        begin = time.monotonic()
        if wait_for(lambda: self._restarts() > before, 60):
            self.recoveries["camera"].append(time.monotonic() - begin)
        else:
            self.problems.append("the camera was not used again within 60 s")

    def _restarts(self) -> float:
        time.sleep(0.1)  # the page answers 50 requests a second
        return self._service.metrics().get("pipose_source_restarts_total", 0.0)

    async def _visit(self, seconds: float) -> None:
        async with aiohttp.ClientSession() as session:
            coming = (self._look(session), self._look_away(session), self._read(session))
            tasks = [asyncio.ensure_future(c) for c in coming]
            done, waiting = await asyncio.wait(tasks, timeout=seconds)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for task in done:
                if not self.over.is_set():
                    self.problems.append(f"a viewer's connection ended: {task.exception()!r}")

    async def _look(self, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(self._page + "live", max_msg_size=0) as page:
            async for message in page:
                if message.type == aiohttp.WSMsgType.BINARY:
                    self.seen["frames of the page"] += 1
                    head = message.data[4 : 4 + int.from_bytes(message.data[:4], "big")]
                    number = head[head.index(b'"frame":') + 8 :].split(b",")[0]
                    await page.send_str(number.decode())

    async def _look_away(self, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(self._page + "live", max_msg_size=0):
            await asyncio.Event().wait()

    async def _read(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._page + "stream.mjpg") as answer:
            async for data in answer.content.iter_any():
                self.seen["pictures of the stream"] += data.count(b"X-Frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One part of the run: the median of memory, the least of files and threads, which is what is there at rest."""

    frames: int
    minutes: float
    rss_mib: float
    most_mib: float
    files: int
    most_files: int
    threads: int
    restarts: int

    @classmethod
    def of(cls, looks: list[Look], frames: float, seconds: float, restarts: float) -> Row:
        """Sum up."""
        return cls(
            frames=int(frames),
            minutes=seconds / 60,
            rss_mib=statistics.median(look.rss_mib for look in looks),
            most_mib=max(look.rss_mib for look in looks),
            files=min(look.files for look in looks),
            most_files=max(look.files for look in looks),
            threads=min(look.threads for look in looks),
            restarts=int(restarts),
        )

    def __str__(self) -> str:
        return (
            f"| {self.frames} | {self.minutes:.1f} | {self.rss_mib:.1f} | {self.most_mib:.1f} | {self.files} | "
            f"{self.most_files} | {self.threads} | {self.restarts} |"
        )


HEADER = (
    "| frames | minutes | RSS MiB, median | most | files, least | most | threads, least | camera restarts |\n"
    "|---|---|---|---|---|---|---|---|"
)


def judge(rows: list[Row], heard: Heard, tolerance_mib: float) -> list[str]:
    """What is wrong with a run, from its first tenth to its end."""
    wrong = []
    settled = next((row for row in rows if row.frames >= rows[-1].frames / 10), rows[-1])
    last = rows[-1]
    if settled is last:
        wrong.append("the run was too short to compare anything")
    if (grown := last.rss_mib - settled.rss_mib) > tolerance_mib:
        wrong.append(f"memory grew by {grown:.1f} MiB, tolerated {tolerance_mib:g}")
    if (most := max(row.most_mib for row in rows)) > unit_value("MemoryMax"):
        wrong.append(f"memory reached {most:.0f} MiB, more than the unit's MemoryMax")
    for what in ("files", "threads"):
        before, after = getattr(settled, what), getattr(last, what)
        if after > before:
            wrong.append(f"{what} grew from {before} to {after}")
    if heard.count["READY"] != 1 or heard.count["WATCHDOG before READY"]:
        wrong.append(f"READY came {heard.count['READY']} times, or a sign of life before it")
    if heard.silence_s > heard.watchdog_s:
        wrong.append(f"no sign of life for {heard.silence_s:.1f} s, WatchdogSec is {heard.watchdog_s:g}")
    return wrong


def watch(service: Watched, frames: int, minutes: float, begin: float) -> list[Row]:
    """Print and return a row for each twentieth of the run, until it is over."""
    rows: list[Row] = []
    looks: list[Look] = []
    print(HEADER, flush=True)
    while service.alive and time.monotonic() - begin < minutes * 60:
        time.sleep(1)
        if not (found := service.metrics()):
            continue
        looks.append(service.look())
        done = found["pipose_frames_total"]
        if done >= min(frames * (len(rows) + 1) / 20, frames):
            restarts = found["pipose_source_restarts_total"]
            rows.append(Row.of(looks, done, time.monotonic() - begin, restarts))
            print(rows[-1], flush=True)
            looks = []
        if done >= frames:
            break
    return rows


def end(service: Watched, frames: int, rows: list[Row]) -> list[str]:
    """Stop the service; what was wrong with its end, its log, or the number of frames."""
    wrong = [] if service.alive else ["the service ended by itself"]
    code, took = service.stop()
    print(f"\nstopped after {took:.2f} s with exit code {code}; heard: {dict(service.heard.count)}")
    if code != 0 or took > STOP_S or not service.heard.count["STOPPING"]:
        wrong.append(f"it stopped after {took:.1f} s with exit code {code}")
    if not rows or rows[-1].frames < frames:
        wrong.append(f"fewer than {frames} frames were processed")
    log = service.log.read_text()
    print(f"log: {len(log.splitlines())} lines, the last one: {log.splitlines()[-1] if log else ''}")
    if SECRET in log:
        wrong.append("the log shows the camera's password")
    return wrong


def run(given: argparse.Namespace, folder: Path) -> list[str]:
    """One night; what was wrong."""
    broker = Mosquitto(folder, "allow_anonymous true")
    camera = MjpegServer(free_port(), fps=given.fps, jpegs=make_pictures())
    web = free_port()
    config = write_config(folder, given.model, camera, web, broker.port)
    service = Watched(folder, config, web, unit_value("WatchdogSec"))
    faults = Faults(service, camera, broker, f"http://127.0.0.1:{web}/", given.minute)
    begin = time.monotonic()
    try:
        if not wait_for(lambda: service.heard.ready_at, 60):
            return [f"not ready within 60 s: {service.log.read_text()}"]
        print(f"ready after {service.heard.ready_at - begin:.1f} s; {service.heard.status}", flush=True)
        faults.start()
        rows = watch(service, given.frames, given.minutes, begin)
        faults.over.set()
        faults.join(80)
        wrong = end(service, given.frames, rows)
    finally:
        with contextlib.suppress(OSError):
            service.kill()
        camera.close()
        broker.kill()
    print("in all: " + ", ".join(f"{count} x {name}" for name, count in faults.seen.items()))
    for what, took in faults.recoveries.items():
        if took:
            print(f"{what} back after {min(took):.1f} to {max(took):.1f} s, {len(took)} times")
    print(f"longest time without a sign of life: {service.heard.silence_s:.1f} s")
    return wrong + faults.problems + (judge(rows, service.heard, given.tolerance) if rows else [])


def main() -> None:
    """Run, print, and say what was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after this long in any case")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds in which each fault comes once")
    parser.add_argument("--fps", type=float, default=140.0, help="of the camera (default: %(default)g)")
    parser.add_argument(
        "--tolerance", type=float, default=2.0, help="MiB by which memory may grow (default: %(default)g)"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pipose-night-") as name:
        wrong = run(given, Path(name))
    print("\n" + ("\n".join(f"WRONG: {line}" for line in wrong) or "nothing was wrong"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
