"""Measure the speed of a model on this machine: ``python -m rpi_runtime bench --model M.tflite``.

The stages are those of `run`, fed by the same reader thread. Warm-up and steady state are measured separately, because
the first frames allocate memory, page in the model and raise the clock.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rpi_runtime.capture.feed import Feed
from rpi_runtime.capture.source import Wanted
from rpi_runtime.capture.synthetic import SyntheticSource
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.command_line import AS_JSON, exit_codes
from rpi_runtime.commands.bench_report import PAGE, make_report
from rpi_runtime.commands.parser import add_refine_arguments, make_parser, set_up_logging
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.files import write_text
from rpi_runtime.health.machine import clock_mhz, governors, memory
from rpi_runtime.health.thermal import Heat, read_heat
from rpi_runtime.health.timing import Percentiles, StageClock, format_table
from rpi_runtime.masking import mask
from rpi_runtime.model.interpreter import INTERPRETERS, Model, package_version
from rpi_runtime.poses import Frame
from rpi_runtime.settings.run_config import refine_override, source_config

HELP = "measure a model on this machine, stage by stage"
EXAMPLES = """\
examples:
  python -m rpi_runtime bench --model M.tflite
  python -m rpi_runtime bench --model M.tflite --source walk.mp4 --threads 2 --json > bench.json
  python -m rpi_runtime bench --model M.tflite --source picamera --frames 3000
  python -m rpi_runtime bench --model M.tflite --frames 1000 --report report.json
  python -m rpi_runtime bench --model M.tflite --refine PERSON.tflite --look-every 5 --source walk.mp4

""" + exit_codes(8, own={3: "the model or the source cannot be read", 5: "the report cannot be written"})

SYNTHETIC = "synthetic"
WAIT_S = 5.0
SAMPLED_EVERY = 16  # frames between two readings of the memory, which take some 50 us


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Milliseconds from the start to the first pose. The first inference is a part of the first frame."""

    model_ms: float
    first_frame_ms: float
    first_inference_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """The output of `bench`; `--json` uses these names.

    Attributes
    ----------
    model, source, machine : str
    backend, backend_version : str
    threads : int
    partitions, delegated, operations : int
        Numbers of delegate nodes, of operations in them, and of operations of the model.
    fell_back : tuple of str
    load : Load
    warm_up, steady : mapping of str to Percentiles
        By stage. ``wait`` is the time without a frame, ``total`` the sum of all stages but ``wait``, ``age`` the time
        from taking a frame to its poses; the frame of a recording is read ahead and waits.
    frames : int
        Number of frames of the steady state.
    fps : float
        Frames per second of the steady state, by wall-clock time.
    dropped : int
        Number of frames that a live source overwrote with newer ones.
    rss_mb, average_rss_mb, peak_rss_mb : float
        Resident memory at the end, average over the steady state, and peak.
    people : float
        Mean number per frame, on which the time of decoding depends.
    refined, looks : float
        With a cascade: mean number of people refined per frame, and fraction of frames with a full-frame pass. Stages
        that a frame skips are counted on the other frames only.
    governors : tuple of str
    before, after : Heat
    """

    model: str
    source: str
    machine: str
    backend: str
    backend_version: str
    threads: int
    partitions: int
    delegated: int
    operations: int
    fell_back: tuple[str, ...]
    load: Load
    warm_up: dict[str, Percentiles]
    steady: dict[str, Percentiles]
    frames: int
    fps: float
    dropped: int
    rss_mb: float
    average_rss_mb: float
    peak_rss_mb: float
    people: float
    refined: float
    looks: float
    governors: tuple[str, ...]
    before: Heat
    after: Heat


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """The options of the command."""

    model: Path
    source: str
    frames: int
    warm_up: int
    threads: int | None = None
    refine: RefineConfig | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bench``."""
    parser.add_argument("--model", required=True, metavar="FILE", help="a .tflite with its card")
    parser.add_argument(
        "--source",
        default=f"{SYNTHETIC}:640x480",
        help="synthetic:WIDTHxHEIGHT (noise, with next to nothing to decode in it) or any source of `run`; "
        "recordings run again and again, as fast as they can be processed (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=300,
        metavar="N",
        help="frames of the steady state (default: %(default)s)",
    )
    parser.add_argument(
        "--warm-up", type=int, default=30, metavar="N", help="frames before it (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: all, at most 4")
    add_refine_arguments(parser)
    parser.add_argument("--json", action="store_true", help=AS_JSON)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="also write the measurement, the machine, versions and the model's hash to this JSON file, and print a "
        f"table to paste into an issue: see {PAGE}",
    )


def main(argv: list[str]) -> int:
    """Run the benchmark, print it and return the exit code."""
    parser = make_parser("bench", HELP, EXAMPLES)
    add_arguments(parser)
    args = parser.parse_args(argv)
    set_up_logging(verbose=args.verbose)
    if args.frames < 1 or args.warm_up < 1:
        raise UsageError(f"--frames {args.frames} --warm-up {args.warm_up}: expected 1 or more of both")
    given = {key: value for key, value in vars(args).items() if value is not None}
    options = BenchOptions(
        model=Path(args.model),
        source=args.source,
        frames=args.frames,
        warm_up=args.warm_up,
        threads=args.threads,
        refine=refine_override(None, given),
    )
    clock = clock_mhz()
    result = run(options)
    if args.report:
        models = [options.model, *([Path(options.refine.model)] if options.refine else [])]
        report = make_report(result, models, clock)
        write_text(args.report, report.to_json())
        print(report.to_markdown() + "\n", file=sys.stderr if args.json else sys.stdout)
    print(json.dumps(dataclasses.asdict(result), indent=1) if args.json else mask(format_result(result)))
    return 0


def run(options: BenchOptions) -> BenchResult:
    """Measure one model on one source; raises `PiposeError` if either cannot be opened."""
    before, frames = read_heat(), options.frames
    start = time.monotonic_ns()
    model = Model(options.model, threads=options.threads)
    estimator = _estimator(model, options)
    loaded = time.monotonic_ns()
    feed = _open_source(options.source, _wanted(model, options))
    feed.start()
    try:
        bench = _Run(estimator, feed)
        bench.step()
        first, first_inference = bench.last_total_ns, bench.last_infer_ns
        for _ in range(options.warm_up - 1):
            bench.step()
        warm = bench.clock.summary()
        bench.forget()
        begin = time.monotonic_ns()
        sampled = []
        for number in range(frames):
            bench.step()
            if number % SAMPLED_EVERY == 0:
                sampled.append(memory()[0])
        seconds = (time.monotonic_ns() - begin) / 1e9
        delivered, dropped = feed.delivered, feed.dropped
    finally:
        feed.stop(1.0)
    rss, peak = memory()
    found = model.delegation()
    return BenchResult(
        model=model.describe(),
        source=mask(delivered.what if delivered else options.source),
        machine=f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}",
        backend=model.backend,
        backend_version=package_version(INTERPRETERS[model.backend][1]),
        threads=model.threads,
        partitions=found.partitions,
        delegated=found.delegated,
        operations=found.total,
        fell_back=found.fell_back,
        load=Load(
            model_ms=(loaded - start) / 1e6,
            first_frame_ms=first / 1e6,
            first_inference_ms=first_inference / 1e6,
        ),
        warm_up=warm,
        steady=bench.clock.summary(),
        frames=frames,
        fps=frames / seconds,
        dropped=dropped,
        rss_mb=rss,
        average_rss_mb=sum(sampled) / len(sampled),
        peak_rss_mb=peak,
        people=bench.people / frames,
        refined=bench.refined / frames,
        looks=bench.looks / frames,
        governors=governors(),
        before=before,
        after=read_heat(),
    )


def format_result(result: BenchResult) -> str:
    """Return the table that ``bench`` prints."""
    cascade = f", {result.refined:.1f} of them refined" if "refine" in result.steady else ""
    lines = [
        f"model    {result.model}",
        f"source   {result.source}, {result.people:.1f} people a frame{cascade}",
        f"machine  {result.machine}, governor {', '.join(result.governors) or 'unknown'}",
        f"load     {result.load.model_ms:.0f} ms, first frame {result.load.first_frame_ms:.1f} ms",
        f"\nwarm-up\n{format_table(result.warm_up)}",
        f"\nsteady state, {result.frames} frames\n{format_table(result.steady)}",
        f"\n{result.fps:.1f} frames a second, {result.dropped} dropped",
        f"memory   {result.rss_mb:.0f} MB resident, {result.peak_rss_mb:.0f} MB at most",
        f"heat     before: {result.before.describe()}; after: {result.after.describe()}",
    ]
    return "\n".join(lines)


class _Run:
    """Sends frames through the stages and times each stage."""

    def __init__(self, estimator: Estimator, feed: Feed) -> None:
        self._estimate = estimator
        self._feed = feed
        self.last_total_ns = self.last_infer_ns = 0
        self.forget()

    def forget(self) -> None:
        """Reset all counts."""
        self.clock = StageClock()
        self.people = self.refined = self.looks = 0

    def step(self) -> None:
        begin = time.monotonic_ns()
        frame = self._take()
        taken = time.monotonic_ns()
        estimate = self._estimate(frame.image, frame.timestamp_ns, prepared=frame.done)
        done = time.monotonic_ns()
        self.last_total_ns = done - taken
        self.last_infer_ns = estimate.latency_ns.get("infer", 0)
        spans = {
            "wait": taken - begin,
            **estimate.latency_ns,
            "total": done - taken,
            "age": done - frame.taken_ns,
        }
        self.clock.add(spans)
        self.people += len(estimate.tracks)
        self.refined += sum(track.refined for track in estimate.tracks)
        self.looks += estimate.looked is not False

    def _take(self) -> Frame:
        while not self._feed.ended:
            frame = self._feed.take(WAIT_S)
            if frame is not None:
                return frame
        raise InputError("the source ended before the measurement did; give a longer one, or fewer --frames")


def _estimator(model: Model, options: BenchOptions) -> Estimator:
    if options.refine is None:
        return Estimator([model])
    from rpi_runtime.cascade.cascade import open_cascade  # loaded only if it is used

    return Estimator(
        [model], cascade=open_cascade(options.refine, model.card.skeleton, threads=options.threads)
    )


def _wanted(model: Model, options: BenchOptions) -> Wanted:
    """Return the format to request from a camera, as in `run`."""
    if options.refine is not None:
        return Wanted(width=640, height=480)
    return Wanted(width=model.card.input.width, height=model.card.input.height)


def _open_source(text: str, wanted: Wanted) -> Feed:
    """Return a feed of the source. Recordings are repeated and run as fast as frames are taken."""
    kind, _, target = text.partition(":")
    if kind == SYNTHETIC:
        return Feed(lambda: SyntheticSource(target), wanted)
    config = source_config(text)
    if not config.live:
        config = dataclasses.replace(config, loop=True, pace="free")
    return Feed(config.maker(), wanted)
