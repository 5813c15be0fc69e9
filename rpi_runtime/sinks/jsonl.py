"""JSON lines to the standard output or to a rotating file; see `rpi_runtime.sinks.message` for a line."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.sinks.message import encode_message
from rpi_runtime.sinks.sink import About, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlOptions:
    """Options of the sink ``jsonl``.

    Attributes
    ----------
    target : str
        ``-`` for the standard output, or a file.
    max_mb : float
        A file that would grow beyond this is renamed to ``FILE.1`` and begun anew; 0 lets it grow.
    keep : int
        How many renamed files are kept.
    """

    target: str = "-"
    max_mb: float = 0.0
    keep: int = 4

    def __post_init__(self) -> None:
        if not self.target:
            raise UsageError("target: got nothing, expected a file, or - for the standard output")
        if self.max_mb < 0:
            raise UsageError(f"max_mb: got {self.max_mb:g}, expected at least 0")
        if not 1 <= self.keep <= 1000:
            raise UsageError(f"keep: got {self.keep}, expected 1 to 1000")


class JsonlSink:
    """One line a frame, written at once: whoever reads along sees whole lines, and a crash loses none.

    An existing file is continued. When the disk is full the last line is taken back where it was cut.
    """

    backlog = 256
    wants_image = False

    def __init__(self, options: JsonlOptions) -> None:
        self.name = f"jsonl:{options.target}"
        self._options = options
        self._path = None if options.target == "-" else Path(options.target)
        self._fd = -1
        self._size = 0
        self._skeleton: Skeleton | None = None

    def start(self, about: About) -> None:
        """Open the file for appending; `OutputError` when it cannot be."""
        self._skeleton = about.skeleton
        if self._path is None:
            sys.stdout.flush()
            self._fd = os.dup(1)
            return
        try:
            self._open()
        except OSError as err:
            raise OutputError(
                f"{self._path}: cannot be written ({err.strerror}); choose another place"
            ) from err

    def write(self, result: Result) -> None:
        """Append one line, rotating first when it would not fit."""
        assert self._skeleton is not None
        line = encode_message(result, self._skeleton)
        limit = self._options.max_mb * 1e6
        if self._path is not None and limit and self._size and self._size + len(line) > limit:
            self._rotate(self._path)
        try:
            _write_all(self._fd, line)
        except OSError:
            if self._path is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)

    def stop(self) -> None:
        """Close; every line is with the system already."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        assert self._path is not None
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self, path: Path) -> None:
        """FILE.1 becomes FILE.2 and so on, the last one goes; FILE becomes FILE.1."""
        os.close(self._fd)
        self._fd = -1
        for number in range(self._options.keep, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        self._open()


def _write_all(fd: int, data: bytes) -> None:
    """Write everything; a pipe or a nearly full disk takes only a part at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
