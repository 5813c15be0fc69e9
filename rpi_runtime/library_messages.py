"""What libraries write to file descriptor 2 by themselves, said once of each kind and counted.

libjpeg inside OpenCV complains of every frame of a common webcam, seven times a second, past any log level; a night of
it is 200,000 lines in the journal.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from typing import IO, Any

from rpi_runtime.masking import mask

log = logging.getLogger(__name__)
_MOST_KINDS = 50
_LONGEST = 300
_END_S = 0.5
_NO_COMPLAINT = re.compile(r"(INFO|VERBOSE|DEBUG)\b|I\d{4} \d\d:")  # of TensorFlow Lite, of absl


class LibraryMessages:
    """While this context lasts, lines that libraries print are counted; Python's own standard error goes on as before.

    Attributes
    ----------
    count : int
        Lines so far that are complaints; what a library calls information goes to the log's level DEBUG.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kinds: set[str] = set()
        self._former: Any = None
        self._ours: IO[str] | None = None
        self._saved = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LibraryMessages:
        self._saved = os.dup(2)
        self._former = sys.stderr
        encoding = getattr(self._former, "encoding", None) or "utf-8"
        self._ours = os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors="backslashreplace")
        self._point_to(self._ours)
        reader, writer = os.pipe()
        os.dup2(writer, 2)
        os.close(writer)
        self._thread = threading.Thread(
            target=self._read, args=(reader,), name="pipose-messages", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)  # closes the last end of the pipe that is written to
        os.close(self._saved)
        assert self._thread is not None
        self._thread.join(_END_S)
        if self.count > len(self._kinds):
            log.info("libraries printed %d lines like those above", self.count)
        self._point_to(self._former)
        if self._ours is not None:
            self._ours.close()

    def _point_to(self, stream: Any) -> None:
        """Python's own messages go to `stream`, those of the log too."""
        before, sys.stderr = sys.stderr, stream
        for handler in logging.getLogger("rpi_runtime").handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(stream)

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as pipe:
            while line := pipe.readline(_LONGEST):
                self._take(line.decode("utf-8", "replace").strip())

    def _take(self, line: str) -> None:
        if not line:
            return
        if _NO_COMPLAINT.match(line):
            log.debug("a library says: %s", mask(line))
            return
        self.count += 1
        kind = re.sub(r"0x[0-9a-fA-F]+|\d+", "#", line)
        if kind not in self._kinds and len(self._kinds) < _MOST_KINDS:
            self._kinds.add(kind)
            log.warning("a library says: %s (further ones like it are only counted)", mask(line))
