"""The command `record`: a source into a folder or .zip, to be played back with the source `replay`.

The format is described in `rpi_runtime.capture.replay`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import sys
import time
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.capture.replay import INDEX, REPLAY_FORMAT
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.poses import Frame
from rpi_runtime.settings.run_config import source_config
from rpi_runtime.stop import Signals, StopFlag
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
"""
FORMATS = ("jpg", "png", "npy")


class Recorder:
    """Writes frames one by one; use as a context manager.

    A folder can be played back even when the recorder was killed; a .zip only when it was closed. When it is closed
    without a frame, what it made is removed again, so that the same name can be tried again.

    Parameters
    ----------
    path : path
        Ending in .zip for a .zip, otherwise a folder, which must be new or empty.
    source : str
        Written into the header, for people.
    format : {"jpg", "png", "npy"}
        jpg is small, png is exact, npy is exact and fast.
    """

    def __init__(self, path: Path, *, source: str = "", format: str = "jpg") -> None:
        if format not in FORMATS:
            raise UsageError(f"recording format {format!r}: expected one of {', '.join(FORMATS)}")
        self.path, self.frames = path, 0
        self._suffix = f".{format}"
        self._lines = [json.dumps({"replay": REPLAY_FORMAT, "source": source})]
        self._archive: zipfile.ZipFile | None = None
        self._index: IO[str] | None = None
        self._made_folder = False

    def __enter__(self) -> Recorder:
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise OutputError(f"{self.path}: exists already; choose another name, or remove it first")
        try:
            if self.path.suffix == ".zip":
                self._archive = zipfile.ZipFile(self.path, "x")
            else:
                self._made_folder = not self.path.exists()
                self.path.mkdir(parents=True, exist_ok=True)
                self._index = (self.path / INDEX).open("x")
                self._index.write(self._lines[0] + "\n")
        except OSError as err:
            raise self._explain(err) from err
        return self

    def __exit__(self, *_: object) -> None:
        if not self.frames:
            self._discard()
            return
        try:
            if self._archive is not None:
                self._archive.writestr(INDEX, "\n".join(self._lines) + "\n")
                self._archive.close()
            if self._index is not None:
                self._index.close()
        except OSError as err:
            raise self._explain(err) from err

    def _discard(self) -> None:
        """Close and remove what holds no frame; the error that led here matters more than one of these."""
        for file in (self._archive, self._index):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        with contextlib.suppress(OSError):
            if self._archive is not None:
                self.path.unlink()
            if self._index is not None:
                (self.path / INDEX).unlink()
                (self.path / self._name(0)).unlink(missing_ok=True)  # cut, by a full disk
            if self._made_folder:
                self.path.rmdir()

    def _name(self, number: int) -> str:
        return f"{number:06d}{self._suffix}"

    def add(self, frame: Frame) -> None:
        """Write one frame; `OutputError` on a full disk."""
        name = self._name(self.frames)
        line = json.dumps({"file": name, "timestamp_ns": frame.timestamp_ns})
        data = _encode(frame.image, self._suffix)
        try:
            if self._archive is not None:
                self._archive.writestr(name, data)
                self._lines.append(line)
            if self._index is not None:
                (self.path / name).write_bytes(data)
                self._index.write(line + "\n")
                self._index.flush()
        except OSError as err:
            raise self._explain(err) from err
        self.frames += 1

    def _explain(self, err: OSError) -> OutputError:
        return OutputError(
            f"{self.path}: cannot be written ({err.strerror}); free some space or choose another"
        )


def _encode(image: NDArray[np.uint8], suffix: str) -> bytes:
    if suffix != ".npy":
        return encode_picture(image, suffix)
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(image), allow_pickle=False)
    return buffer.getvalue()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--source", default="picamera", help="as for `run` (default: picamera)")
    parser.add_argument("--output", required=True, type=Path, metavar="PATH", help="a .zip or a new folder")
    parser.add_argument("--seconds", type=finite, default=0.0, metavar="N", help="stop after N seconds")
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="stop after N frames")
    parser.add_argument("--format", choices=FORMATS, default="jpg", help="jpg (default), png or npy")


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from rpi_runtime.commands.parser import make_parser, set_up_logging

    parser = make_parser("record", HELP, EXAMPLES)
    add_arguments(parser)
    given = parser.parse_args(argv)
    set_up_logging()
    source = source_config(given.source)
    stopping = StopFlag()
    with Signals(stopping), Recorder(given.output, source=source.kind, format=given.format) as recorder:
        record(source, recorder, stopping, seconds=given.seconds, frames=given.frames)
    told = (
        f"{recorder.frames} frames in {given.output}"
        if recorder.frames
        else "no frame came, nothing is written"
    )
    print(told, file=sys.stderr)
    return 0


def record(
    source: SourceConfig, recorder: Recorder, stopping: StopFlag, *, seconds: float = 0.0, frames: int = 0
) -> None:
    """Copy frames from a source to a recorder until its end, a limit or a stop; 0 is no limit."""
    wanted = Wanted(width=source.width or 640, height=source.height or 480, fps=source.fps)
    recovery = Recovery(open_s=source.open_s, stall_s=source.stall_s).at_rate(wanted.fps)
    feed = Feed(source.maker(), wanted, recovery, pace=source.paced)
    feed.start()
    first_s = 0.0
    try:
        while not (stopping() or feed.ended or 0 < frames <= recorder.frames):
            frame = feed.take(0.1)
            if frame is not None:
                first_s = first_s or time.monotonic()
                recorder.add(frame)
                frame.done()
            if seconds and first_s and time.monotonic() - first_s >= seconds:
                break
    finally:
        feed.stop(1.0)
    if feed.dropped:
        log.warning("%d frames were dropped because writing was too slow; try --format jpg", feed.dropped)
