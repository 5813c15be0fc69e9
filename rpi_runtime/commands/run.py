"""The command `run`: a source through a model into sinks, until it ends or is told to stop."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

from rpi_runtime.assemble import build
from rpi_runtime.command_line import exit_codes
from rpi_runtime.commands.parser import add_arguments, make_parser, set_up_logging
from rpi_runtime.errors import PiposeError
from rpi_runtime.library_messages import LibraryMessages
from rpi_runtime.pipeline import Pipeline
from rpi_runtime.settings.run_config import RunConfig, load_config
from rpi_runtime.stop import Signals, StopFlag, leave
from rpi_runtime.streams import tell

OWN_CODES = {0: "done or stopped", 3: "the source or a model cannot be read", 5: "a sink failed"}
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
  (the kind may be left out of a file, folder, URL or device; /dev/v4l/by-id/... stays the same camera after a replug)
  options: width height fps fourcc loop pace open_s stall_s retry_at_start
sinks:   (poses.jsonl and out.mp4 are understood without their kind)
         jsonl:FILE (- is standard output; max_mb, keep)  video:FILE (fps)  window  null
         web:HOST:PORT (the live page; quality, viewers)  mqtt:HOST:PORT (qos, buffer, rate; rpi_runtime/docs/mqtt.md)

Live sources drop frames when the network or a sink is slower; files and folders drop none, they wait.
A lost camera is looked for again, at longer and longer intervals, without a restart; so is a sink that fails.
Ctrl-C, SIGTERM or a closed terminal ends a run within 2 s, with everything written. The summary goes to standard error.

""" + exit_codes(8, own=OWN_CODES)


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("run", HELP, EXAMPLES)
    add_arguments(parser)
    given = vars(parser.parse_args(argv))
    set_up_logging(verbose=given.pop("verbose"))
    path = given.pop("config")
    config = load_config(path, {key: value for key, value in given.items() if value is not None})
    return run(config)


def run(config: RunConfig, *, progress_s: float = 0.0) -> int:
    """Run until the end, print the summary on standard error, return the exit code.

    Parameters
    ----------
    config : RunConfig
    progress_s : float
        Interval of progress reports; 0: never.

    Raises
    ------
    PiposeError
        The model or a sink cannot be opened, or the source failed. Raised after the summary, if there were frames.
    """
    stopping = StopFlag()
    with LibraryMessages(), Signals(stopping):
        pipeline = build(config, stopping)
        try:
            with _progress(pipeline, progress_s):
                pipeline.run()
        finally:
            if pipeline.status().frames:
                tell(pipeline.status().describe())
            error = pipeline.error
            if pipeline.hung:
                leave(_report(sys.exception() or error))
    if error is not None:
        raise error
    return 0


@contextlib.contextmanager
def _progress(pipeline: Pipeline, every_s: float) -> Iterator[None]:
    """Report the progress of the pipeline periodically within this context."""
    over = threading.Event()

    def say() -> None:
        while not over.wait(every_s):
            status, delivered = pipeline.status(), pipeline.feed.delivered
            of = f" of {delivered.frames}" if delivered is not None and delivered.frames else ""
            tell(f"{status.frames}{of} frames, {status.fps:.1f} a second")

    thread = threading.Thread(target=say, name="pipose-progress", daemon=True)
    if every_s > 0:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if every_s > 0:
            thread.join()


def _report(error: BaseException | None) -> int:
    """Print an error in the form of `rpi_runtime.__main__`, and return its exit code."""
    if error is None:
        return 0
    tell(f"error: {error}")
    return error.exit_code if isinstance(error, PiposeError) else 1
