"""The service in a process of its own, seen from outside: what it tells its supervisor, its memory, its files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rpi_runtime.service.program import this_program
from tests.rpi_runtime.service.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What /proc says of a process at one moment."""

    rss_mib: float
    files: int
    threads: int


class Heard:
    """What a supervisor is told, and when.

    Parameters
    ----------
    watchdog_s : float

    Attributes
    ----------
    status : str
        The latest.
    count : Counter
        How often each word came.
    ready_at : float
        0.0 before.
    silence_s : float
        Longest time without a sign of life since readiness.
    """

    def __init__(self, watchdog_s: float) -> None:
        self.watchdog_s = watchdog_s
        self.status = ""
        self.count: Counter[str] = Counter()
        self.ready_at = 0.0
        self.silence_s = 0.0
        self._alive_at = 0.0

    def note(self, word: str, now_s: float) -> None:
        """Take one assignment."""
        key, _, value = word.partition("=")
        self.count[key] += 1
        if key == "STATUS":
            self.status = value
        elif key == "READY":
            self.ready_at = self._alive_at = now_s
        elif key == "WATCHDOG":
            self.count["WATCHDOG before READY"] += not self.ready_at
            self.look(now_s)
            self._alive_at = now_s

    def look(self, now_s: float) -> None:
        """Take notice of a silence that lasts."""
        if self.ready_at:
            self.silence_s = max(self.silence_s, now_s - self._alive_at)


class Watched:
    """The process that the systemd unit starts, with this one as its supervisor.

    Parameters
    ----------
    folder : path
        For the socket and the log.
    config : path
        What ``service run`` is given.
    port : int
        Of the page on loopback.
    watchdog_s : float
        The unit's ``WatchdogSec``.
    """

    def __init__(self, folder: Path, config: Path, port: int, watchdog_s: float) -> None:
        self._supervisor = Supervisor(folder / "notify")
        self._metrics_url = f"http://127.0.0.1:{port}/metrics"
        self.log = folder / "log"
        program = this_program("service", "run", "--config", str(config))
        environment = self._supervisor.environment(watchdog_s) | {"PYTHONPATH": program.pythonpath}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                program.command, cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=log
            )
        self.heard = Heard(watchdog_s)
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="supervisor", daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def look(self) -> Look:
        """Look at its memory, files and threads."""
        proc = Path(f"/proc/{self._process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return Look(
            rss_mib=int(status["VmRSS"].split()[0]) / 1024,
            files=len(os.listdir(proc / "fd")),  # noqa: PTH208  only their number
            threads=int(status["Threads"]),
        )

    def metrics(self) -> dict[str, float]:
        """What it says of itself at ``/metrics``; empty while it does not answer."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self._metrics_url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
            pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
            return {name: float(value) for name, _, value in pairs}
        return {}

    def stop(self) -> tuple[int, float]:
        """Stop it as systemd does; its exit code, and how many seconds it took."""
        self.heard.look(time.monotonic())
        begin = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.returncode
        took = time.monotonic() - begin
        time.sleep(0.6)  # for the last words
        return code, took

    def kill(self) -> None:
        """End it at once, whatever it does; and the listening."""
        self._process.kill()
        self._process.wait()
        self._over.set()
        self._listener.join()
        self._supervisor.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            words = self._supervisor.receive(0.5)
            now = time.monotonic()
            for word in words:
                self.heard.note(word, now)
            self.heard.look(now)
