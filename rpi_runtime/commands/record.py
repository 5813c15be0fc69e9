"""The command `record`: write a source to a folder or .zip, which the source `replay` plays back."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.capture.source import Wanted
from rpi_runtime.command_line import exit_codes
from rpi_runtime.commands.recording import FORMATS, Recorder
from rpi_runtime.library_messages import LibraryMessages
from rpi_runtime.settings.run_config import source_config
from rpi_runtime.stop import Signals, StopFlag
from rpi_runtime.streams import tell
from rpi_runtime.strict import finite

log = logging.getLogger(__name__)

HELP = "record a source, to be played back with the source `replay`"
EXAMPLES = """\
examples:
  ten seconds of the Raspberry Pi's camera:
    python -m rpi_runtime record --output walk.zip --seconds 10
  the same, exactly as the camera gave it:
    python -m rpi_runtime record --output walk.zip --seconds 10 --format png
  play it back, at its own speed:
    python -m rpi_runtime run --model M.tflite --source replay:walk.zip

A recording shows people: share it with care.
Ctrl-C, SIGTERM or a closed terminal ends it, and so does a full disk: what came until then is kept.

""" + exit_codes(
    8,
    own={
        0: "done or stopped",
        3: "the source cannot be read",
        5: "it cannot be written, or the disk is full",
    },
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--source", default="picamera", help="as for `run` (default: picamera)")
    parser.add_argument("--output", required=True, type=Path, metavar="PATH", help="a .zip or a new folder")
    parser.add_argument(
        "--seconds",
        type=finite,
        default=0.0,
        metavar="N",
        help="stop after N seconds of the source's own time",
    )
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="stop after N frames")
    parser.add_argument("--format", choices=FORMATS, default="jpg", help="jpg (default), png or npy")


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from rpi_runtime.commands.parser import make_parser, set_up_logging

    parser = make_parser("record", HELP, EXAMPLES)
    add_arguments(parser)
    given = parser.parse_args(argv)
    set_up_logging(verbose=given.verbose)
    source = source_config(given.source)
    stopping = StopFlag()
    recorder = Recorder(given.output, source=source.kind, format=given.format)
    try:
        with LibraryMessages(), Signals(stopping), recorder:
            record(source, recorder, stopping, seconds=given.seconds, frames=given.frames)
    finally:
        kept = f"{recorder.frames} frames in {given.output}"
        tell(kept if recorder.frames else "no frame came, nothing is written")
    return 0


def record(
    source: SourceConfig, recorder: Recorder, stopping: StopFlag, *, seconds: float = 0.0, frames: int = 0
) -> None:
    """Copy frames from a source to a recorder until its end, a limit or a stop. 0 means no limit."""
    wanted = Wanted(width=source.width or 640, height=source.height or 480, fps=source.fps)
    recovery = Recovery(open_s=source.open_s, stall_s=source.stall_s).at_rate(wanted.fps)
    feed = Feed(source.maker(), wanted, recovery, pace=source.paced)
    feed.start()
    first_ns: int | None = None
    begun_s = 0.0
    try:
        while not (stopping() or feed.ended or 0 < frames <= recorder.frames):
            frame = feed.take(0.1)
            if frame is not None:
                if first_ns is None:
                    first_ns, begun_s = frame.timestamp_ns, time.monotonic()
                over = 0 < seconds <= (frame.timestamp_ns - first_ns) / 1e9
                if not over:
                    recorder.add(frame)
                frame.done()
                if over:
                    break
            # a silent camera delivers no timestamps
            if source.live and seconds and begun_s and time.monotonic() - begun_s >= seconds + 1:
                break
    finally:
        feed.stop(1.0)
    if feed.dropped:
        log.warning("%d frames were dropped because writing was too slow; try --format jpg", feed.dropped)
