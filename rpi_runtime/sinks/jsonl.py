"""JSON lines to the standard output or to a rotating file; see `rpi_runtime.sinks.message` for a line."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from rpi_runtime import streams
from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.sinks.message import encode_message
from rpi_runtime.sinks.sink import About, Result, SinkNotReadyError

_BEGINNING = 4096  # bytes of an existing file that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlOptions:
    """Options of the sink ``jsonl``.

    Attributes
    ----------
    target : str
        ``-`` for the standard output, or a file.
    max_mb : float
        A file that would grow beyond this is renamed to ``FILE.1`` and started again; 0 means no limit.
    keep : int
        Number of renamed files that are kept.
    """

    target: str = "-"
    max_mb: float = 0.0
    keep: int = 4

    def __post_init__(self) -> None:
        if not self.target:
            raise UsageError("got nothing, expected a file, or - for the standard output", key="target")
        if self.max_mb < 0:
            raise UsageError(f"got {self.max_mb:g}, expected at least 0", key="max_mb")
        if not 1 <= self.keep <= 1000:
            raise UsageError(f"got {self.keep}, expected 1 to 1000", key="keep")


class JsonlSink:
    """One line per frame, written at once, so that a reader sees whole lines and a crash loses no line."""

    backlog = 256

    def __init__(self, options: JsonlOptions) -> None:
        self.name = f"jsonl:{options.target}"
        self._options = options

    def open(self, about: About) -> Lines | LinesFile:
        """Open the file for appending; raises `OutputError` if that fails."""
        options = self._options
        if options.target == "-":
            return Lines(_standard_output(), about.skeleton)
        path = Path(options.target)
        try:
            if stat.S_ISFIFO(path.stat().st_mode):
                return Lines(_open_pipe(path), about.skeleton, path)
        except FileNotFoundError:
            pass
        except OSError as err:
            raise _refusal(path, err) from err
        return LinesFile(path, options, about.skeleton)


class Lines:
    """Writes lines into a pipe: the standard output, or a named pipe whose reader may come back."""

    wants_image = False
    trouble = ""

    def __init__(self, fd: int, skeleton: Skeleton, path: Path | None = None) -> None:
        self._fd, self._skeleton, self._path = fd, skeleton, path

    def write(self, result: Result) -> None:
        """Write one line."""
        try:
            write_all(self._fd, encode_message(result, self._skeleton))
        except BrokenPipeError:
            if self._path is None:
                raise
            raise SinkNotReadyError(f"{self._path}: the reader of this pipe has gone") from None

    def close(self) -> None:
        """Close."""
        os.close(self._fd)


class LinesFile:
    """Appends lines to a file, which other processes may write, truncate or move away meanwhile.

    When the disk is full, the part of the last line that was written is removed again.
    """

    wants_image = False
    trouble = ""

    def __init__(self, path: Path, options: JsonlOptions, skeleton: Skeleton) -> None:
        self._path, self._options, self._skeleton = path, options, skeleton
        self._torn = False
        self._fd = self._open()

    def write(self, result: Result) -> None:
        """Append one line, after rotating the file if the line would not fit."""
        line = encode_message(result, self._skeleton)
        self._follow_name()
        limit, size = self._options.max_mb * 1e6, os.fstat(self._fd).st_size
        if limit and size and size + len(line) > limit:
            self._rotate()
        if self._torn:  # ends the rest of a line that could not be removed
            write_all(self._fd, b"\n")
            self._torn = False
        self._append(line)

    def close(self) -> None:
        """Close. Every line has been handed to the system already."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> int:
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise _refusal(self._path, err) from err
        if _holds_something_else(self._path):
            os.close(fd)
            raise OutputError(f"{self._path}: holds something else than messages; choose another name")
        return fd

    def _append(self, line: bytes) -> None:
        done = 0
        try:
            while done < len(line):
                done += os.write(self._fd, line[done:])
        except OSError:
            if done:
                self._take_back(done)
            raise

    def _take_back(self, count: int) -> None:
        """Remove the last `count` bytes that were written, if nothing follows them.

        With O_APPEND, the position after a write is its end; the size may have changed since.
        """
        with contextlib.suppress(OSError):
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            if os.fstat(self._fd).st_size == end >= count:
                os.ftruncate(self._fd, end - count)
                return
        self._torn = True

    def _follow_name(self) -> None:
        """Start the file again if it was moved or removed, as logrotate does."""
        here = os.fstat(self._fd)
        try:
            there = self._path.stat()
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            fd = self._open()
            os.close(self._fd)
            self._fd, self._torn = fd, False

    def _rotate(self) -> None:
        """Rename FILE.1 to FILE.2 and so on, drop the last one, and rename FILE to FILE.1."""
        self.close()
        for number in range(self._options.keep, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        self._fd, self._torn = self._open(), False


def _holds_something_else(path: Path) -> bool:
    """Whether an existing file does not begin as our lines do: a configuration, a picture, a model, a script."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            first = file.read(_BEGINNING).lstrip(b"\0\n")  # NUL: cut by a logrotate while others wrote
    except OSError:  # a file that may be written and not read
        return False
    return not first.startswith(b"{"[: len(first)])


def write_all(fd: int, data: bytes) -> None:
    """Write everything. A pipe or a nearly full disk takes only a part at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _standard_output() -> int:
    if "stdout" in streams.MISSING:
        raise OutputError("jsonl:-: the standard output is closed; name a file instead of -")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    return os.dup(1)


def _open_pipe(path: Path) -> int:
    """Open a named pipe without waiting for a reader."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        if err.errno == errno.ENXIO:
            raise SinkNotReadyError(f"{path}: nothing reads this pipe yet") from err
        raise
    os.set_blocking(fd, True)
    return fd


def _refusal(path: Path, err: OSError) -> OutputError:
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"{path}: the disk is full; free some space")
    return OutputError(f"{path}: cannot be written ({err.strerror}); choose another place")
