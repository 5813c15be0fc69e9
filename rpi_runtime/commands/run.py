"""The command `run`: a source through a model into sinks, until it ends or is told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import PiposeError
from rpi_runtime.estimate import Estimator
from rpi_runtime.health.thermal import HeatWatch
from rpi_runtime.model.interpreter import Model
from rpi_runtime.pipeline import Limits, Pipeline
from rpi_runtime.settings.run_config import RunConfig, load_config
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.stop import Signals, StopFlag

log = logging.getLogger(__name__)

HELP = "find people on a camera, stream, video, folder or recording"
EXAMPLES = """\
examples:
  the Raspberry Pi's camera, poses as JSON lines on the terminal:
    python -m rpi_runtime run --model lw-openpose-160x120-int8.tflite
  a USB camera at 640x480, poses into files of 10 MB, and a window:
    python -m rpi_runtime run --model M.tflite --source camera:0,width=640,height=480 \\
        --sink jsonl:poses.jsonl,max_mb=10 --sink window
  a video file, every frame, with the skeletons drawn:
    python -m rpi_runtime run --model M.tflite --source walk.mp4 --sink video:out.mp4
  a recording at its own speed, as if it were the camera:
    python -m rpi_runtime run --model M.tflite --source replay:walk.zip --sink jsonl:-
  each person refined on a crop of their own, for at most 40 ms a frame:
    python -m rpi_runtime run --model M.tflite --refine PERSON.tflite --refine-budget-ms 40
  everything from a file, one thing changed:
    python -m rpi_runtime run --config pipose.toml --max-fps 10

sources: picamera[:N]  camera:DEVICE  stream:URL  video:FILE  images:FOLDER  replay:FOLDER_OR_ZIP
  options: width height fps fourcc loop pace open_s stall_s retry_at_start
sinks:   jsonl:FILE (- is standard output; max_mb, keep)  video:FILE (fps)  window  null
         web:HOST:PORT (the live page; quality, viewers)  mqtt:HOST:PORT (qos, buffer, rate; rpi_runtime/docs/mqtt.md)

Live sources drop frames when the network or a sink is slower; files and folders drop none, they wait.
A lost camera is looked for again, at longer and longer intervals, without a restart.
Ctrl-C or SIGTERM ends a run within 2 s, with everything written. The summary goes to standard error.

exit codes: 0 done or stopped, 2 a wrong option, 3 source or model cannot be read, 5 a sink failed,
            8 a package is missing
"""


def add_arguments(parser: argparse.ArgumentParser, sinks: str = "where poses go (default: jsonl:-)") -> None:
    """Declare the options; each says the same as the key of that name in a configuration file.

    Parameters
    ----------
    parser : ArgumentParser
    sinks : str
        What the option ``--sink`` is for, and its default.
    """
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings; options given here replace them"
    )
    parser.add_argument(
        "--model", nargs="+", metavar="FILE", help=".tflite; further, smaller ones are used when it gets hot"
    )
    add_refine_arguments(parser)
    parser.add_argument("--source", metavar="SOURCE", help="where pictures come from (default: picamera)")
    parser.add_argument("--sink", action="append", metavar="SINK", help=f"{sinks}; may be repeated")
    parser.add_argument("--threads", type=int, metavar="N", help="for the network (default: all, at most 4)")
    parser.add_argument(
        "--track",
        choices=("auto", "on", "off"),
        help="ids from frame to frame (default: on, but off for images)",
    )
    parser.add_argument(
        "--smooth",
        action=argparse.BooleanOptionalAction,
        help="smooth the keypoints of tracked people (default)",
    )
    parser.add_argument("--max-fps", type=float, metavar="N", help="at most so many frames per second")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--heat",
        metavar="KEY=VALUE,...",
        help="step down in the heat: limit_c (78; 0 never), resume_c, steps...",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")


def add_refine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the cascade."""
    parser.add_argument(
        "--refine", metavar="FILE", help=".tflite that refines each person on a crop: top-down, or as --model"
    )
    parser.add_argument(
        "--refine-budget-ms",
        type=float,
        metavar="N",
        help="begin no crop that would end later than this, a frame (default: 50; 0: refine everybody)",
    )
    parser.add_argument(
        "--look-every",
        type=int,
        metavar="N",
        help="look at the whole picture every N frames, in between only at crops (default: 5)",
    )


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from rpi_runtime.commands.parser import make_parser, set_up_logging

    parser = make_parser("run", HELP, EXAMPLES)
    add_arguments(parser)
    given = vars(parser.parse_args(argv))
    set_up_logging(verbose=given.pop("verbose"))
    path = given.pop("config")
    config = load_config(path, {key: value for key, value in given.items() if value is not None})
    return run(config)


def run(config: RunConfig) -> int:
    """Run until the end, print the summary on standard error, return the exit code.

    Raises
    ------
    PiposeError
        The model or a sink cannot be opened, or the source failed; after the summary, if there were frames.
    """
    stopping = StopFlag()
    with Signals(stopping):
        pipeline = build(config, stopping)
        try:
            pipeline.run()
        finally:
            if pipeline.status().frames:
                print(pipeline.status().describe(), file=sys.stderr)
            error = pipeline.error
            if pipeline.hung:
                _leave(sys.exception() or error)
    if error is not None:
        raise error
    return 0


def build(config: RunConfig, stopping: StopFlag) -> Pipeline:
    """Load the models and wire everything; nothing runs yet."""
    models = [Model(path, threads=config.threads or None) for path in config.model]
    for model in models:
        log.info("%s", model.describe())
    source = config.source
    lossless = not (source.live or source.paced)
    runners = [SinkRunner(s.make(), lossless=lossless, stopping=stopping) for s in config.sink]
    # a crop has more to show than the network's own input
    large = any(s.shows for s in config.sink) or config.refine is not None
    network = models[0].card.input
    wanted = Wanted(
        width=source.width or (640 if large else network.width),
        height=source.height or (480 if large else network.height),
        fps=source.fps or config.max_fps,  # frames that nobody takes need not be decoded
    )
    cascade = None
    if config.refine is not None:
        from rpi_runtime.cascade.cascade import open_cascade  # loaded by those who use it

        cascade = open_cascade(config.refine, models[0].card.skeleton, threads=config.threads or None)
    recovery = Recovery(open_s=source.open_s, stall_s=source.stall_s, at_start=source.retry_at_start)
    return Pipeline(
        Feed(source.make, wanted, recovery, pace=source.paced),
        Estimator(models, track=config.tracks, smooth=config.smooth, cascade=cascade),
        runners,
        limits=Limits(max_fps=config.max_fps, frames=config.frames),
        heat=HeatWatch(config.heat),
        stopping=stopping,
    )


def _leave(error: BaseException | None) -> None:
    """End the process although a thread is stuck in a driver or a pipe, which Python would wait for."""
    if error is not None:
        print(f"error: {error}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(error.exit_code if isinstance(error, PiposeError) else 1 if error else 0)
