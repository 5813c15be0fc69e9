"""A long run: memory, open files and latency at its start and at its end.

    python -m tests.benchmarks.endurance --model M.tflite [--frames 100000] [--source SOURCE]

The pipeline is the one of the command `run`, with a rotating file of JSON lines as a sink. Without a source it
is a recording of noise, 320x240, played in a loop as fast as it is processed; no frame is dropped. Prints one
line each tenth of the run: resident memory, its peak, open files, threads, and of that tenth the processor time
a frame, which other programs on the machine hardly change, and the latency, which they do.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from rpi_runtime.assemble import build
from rpi_runtime.commands.recording import Recorder
from rpi_runtime.health.timing import Histogram
from rpi_runtime.poses import Frame
from rpi_runtime.settings.run_config import load_config
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.sink import About, Result
from rpi_runtime.stop import Signals, StopFlag

HEADER = (
    "|  frames | seconds | RSS MiB | peak MiB | files | threads | CPU ms | median ms | 95 % | 99 % | most |"
)


class Watcher:
    """A sink that looks at its own process."""

    name = "watcher"
    backlog = 64
    wants_image = False

    def __init__(self, every: int) -> None:
        self.every, self.seen = every, 0
        self.last = (0.0, 0)  # processor seconds and frames at the last look
        self.window = Histogram()

    def start(self, about: About) -> None:
        """Print the head of the table."""
        self.begin = time.monotonic()
        print(HEADER + "\n|" + "---|" * 11, flush=True)

    def write(self, result: Result) -> None:
        """Count one frame, and look at the process after the first hundred and at the end of each window."""
        self.seen += 1
        self.window.add(sum(ns for stage, ns in result.latency_ns.items() if stage != "wait"))
        if self.seen == 100 or self.seen % self.every == 0:
            self.report()

    def report(self) -> None:
        """Print one line and begin a new window."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        rss, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  only their number
        took = self.window.summary()
        cpu, now = time.process_time(), self.seen
        cpu_ms = (cpu - self.last[0]) / (now - self.last[1]) * 1e3
        self.last = (cpu, now)
        spent = time.monotonic() - self.begin
        print(
            f"| {self.seen:>7} | {spent:7.1f} | {rss:7.1f} | {peak:8.1f} | {files:5} | "
            f"{status['Threads'].strip():>7} | {cpu_ms:6.2f} | {took.p50_ms:9.2f} | "
            f"{took.p95_ms:.2f} | {took.p99_ms:.2f} | {took.max_ms:.1f} |",
            flush=True,
        )
        self.window = Histogram()

    def stop(self) -> None:
        """Nothing to close."""


def write_noise(path: Path) -> None:
    """A recording of 30 frames of smoothed noise in which, now and then, somebody seems to be."""
    generator = np.random.default_rng(0)
    with Recorder(path, source="noise", format="npy") as recorder:
        for index in range(30):
            coarse = generator.integers(0, 256, (24, 32, 3), np.uint8)
            image = np.kron(coarse, np.ones((10, 10, 1), np.uint8))
            stamp = index * 33_333_333
            recorder.add(Frame(image=image, index=index, timestamp_ns=stamp, taken_ns=stamp))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--source", default="")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stopping = StopFlag()
    with tempfile.TemporaryDirectory() as name, Signals(stopping):
        folder = Path(name)
        if not given.source:
            write_noise(folder / "noise.zip")
        config = load_config(
            None,
            {
                "model": given.model,
                "source": given.source or f"replay:{folder / 'noise.zip'},loop=yes,pace=free",
                "sink": [f"jsonl:{folder / 'poses.jsonl'},max_mb=1,keep=3"],
                "frames": given.frames,
                "threads": given.threads,
            },
        )
        pipeline = build(config, stopping)
        watcher = Watcher(max(given.frames // 10, 1))
        lossless = pipeline.sinks[0].lossless
        pipeline.sinks += (SinkRunner(watcher, lossless=lossless, stopping=stopping),)
        status = pipeline.run()
        left = sorted(f"{f.name} {f.stat().st_size / 1e6:.2f} MB" for f in folder.glob("poses*"))
    print(f"\n{status.describe()}\nfiles of the sink: {', '.join(left)}")


if __name__ == "__main__":
    main()
