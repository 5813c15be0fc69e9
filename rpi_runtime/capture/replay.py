"""A recorded source, played back frame by frame: for tests and for bug reports.

The format, in a folder or in a .zip with the same members:

``frames.jsonl``
    One JSON object per line. The first line is the header, ``{"replay": 1, "source": "..."}``; every other line
    is a frame, ``{"file": "000000.jpg", "timestamp_ns": 0}``, in the order in which they were taken, with
    timestamps in nanoseconds that never go back.
``000000.jpg``, ...
    The pictures: .jpg, .png (exact), or .npy, a NumPy array of (H, W, 3) uint8 in B, G, R order (exact and
    fast).
"""

from __future__ import annotations

import io
import json
import math
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.capture.source import Delivered, Wanted
from rpi_runtime.errors import InputError, SourceError
from rpi_runtime.inputs import open_input, parse_json, read_input
from rpi_runtime.poses import Frame, Image

REPLAY_FORMAT = 1
INDEX = "frames.jsonl"
_REMEDY = "record it again, with the command `record`"
_MOST_BYTES = 256 << 20  # of a member: more than the largest picture, exact, and than an index of a week
_MOST_NS = 1 << 62  # so that a lap more still fits 64 bits

# what opening and reading a member raise: encrypted members, unknown kinds of compression, names with a NUL
_DAMAGED = (
    OSError, KeyError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, InputError,
)  # fmt: skip


class ReplaySource:
    """Frames from a recording made by `python -m rpi_runtime record`.

    Parameters
    ----------
    path : path
        Folder or .zip.
    loop : bool
        Start again at the end; timestamps continue.
    """

    live = False

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        self._path, self._loop = path, loop
        self._archive: zipfile.ZipFile | None = None
        self._entries: list[tuple[str, int]] = []
        self._position = 0
        self._index = 0
        self._lap_ns = 0

    def configure(self, wanted: Wanted) -> Delivered:
        """Read the index. The pictures keep their recorded size."""
        del wanted
        if not self._path.exists():
            raise SourceError(f"{self._path}: no such recording; {_REMEDY}")
        if not self._path.is_dir():
            try:
                open_input(self._path).close()  # a pipe would be waited for
                self._archive = zipfile.ZipFile(self._path)
            except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as err:
                raise SourceError(f"{self._path}: not a complete .zip ({err}); {_REMEDY}") from err
        self._entries = self._read_index()
        first = self._picture(self._entries[0][0])
        count = len(self._entries)
        span_s = (self._entries[-1][1] - self._entries[0][1]) / 1e9
        fps = (count - 1) / span_s if span_s > 0 else 0.0
        height, width = first.shape[:2]
        return Delivered(width=width, height=height, fps=fps, frames=count, what=f"recording {self._path}")

    def start(self) -> None:
        """Start with the first frame."""
        self._position = self._index = self._lap_ns = 0

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None at the end. A `SourceError` names a damaged member."""
        del timeout_s
        if self._position == len(self._entries):
            if not self._loop:
                return None
            self._lap_ns += self._lap_length_ns()
            self._position = 0
        name, stamp = self._entries[self._position]
        image = self._picture(name)
        index = self._index
        self._position += 1
        self._index += 1
        return Frame(
            image=image,
            index=index,
            timestamp_ns=stamp + self._lap_ns,
            taken_ns=time.monotonic_ns(),
            name=name,
        )

    def stop(self) -> None:
        """Close the .zip."""
        if self._archive is not None:
            self._archive.close()

    def _lap_length_ns(self) -> int:
        """Duration from the first frame to the end of the last one."""
        span = self._entries[-1][1] - self._entries[0][1]
        return span + (span // (len(self._entries) - 1) if len(self._entries) > 1 else 100_000_000)

    def _bytes(self, name: str) -> bytes:
        try:
            if self._archive is None:
                return read_input(self._path / name, _MOST_BYTES)
            with self._archive.open(name) as member:
                data = member.read(_MOST_BYTES + 1)
        except _DAMAGED as err:
            raise SourceError(f"{self._path}: {name} is missing or damaged; {_REMEDY}") from err
        if len(data) > _MOST_BYTES:
            raise SourceError(f"{self._path}: {name} is larger than {_MOST_BYTES >> 20} MiB; {_REMEDY}")
        return data

    def _picture(self, name: str) -> Image:
        data = self._bytes(name)
        if not name.endswith(".npy"):
            return read_picture(data, f"{self._path}/{name}")
        try:
            return _array(data)
        except (ValueError, EOFError) as err:
            raise SourceError(f"{self._path}: {name} is no NumPy array ({err}); {_REMEDY}") from err

    def _read_index(self) -> list[tuple[str, int]]:
        lines = self._bytes(INDEX).splitlines()
        header = self._parse(lines[0], 1) if lines else {}
        if header.get("replay") != REPLAY_FORMAT:
            raise SourceError(f"{self._path}: its {INDEX} is not of replay format {REPLAY_FORMAT}; {_REMEDY}")
        if lines and not self._complete(lines[-1]):
            lines.pop()  # the recorder was killed while it wrote this line
        entries = [self._entry(line, number) for number, line in enumerate(lines[1:], 2)]
        if not entries:
            raise SourceError(f"{self._path}: the recording holds no frames; {_REMEDY}")
        stamps = [stamp for _, stamp in entries]
        if stamps != sorted(stamps):
            raise SourceError(f"{self._path}: its timestamps go back; {_REMEDY}")
        return entries

    def _entry(self, line: bytes, number: int) -> tuple[str, int]:
        entry = self._parse(line, number)
        name, stamp = entry.get("file"), entry.get("timestamp_ns")
        if not isinstance(name, str) or "\0" in name or name != Path(name).name:
            raise SourceError(f"{self._path}: {INDEX}:{number}: expected a plain file name; {_REMEDY}")
        if not isinstance(stamp, int) or isinstance(stamp, bool) or abs(stamp) >= _MOST_NS:
            raise SourceError(
                f"{self._path}: {INDEX}:{number}: expected a timestamp_ns of 64 bits; {_REMEDY}"
            )
        return name, stamp

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        entry = parse_json(line, f"{self._path}: {INDEX}:{number}", _REMEDY, SourceError)
        if not isinstance(entry, dict):
            raise SourceError(f"{self._path}: {INDEX}:{number}: not a JSON object; {_REMEDY}")
        return entry

    @staticmethod
    def _complete(line: bytes) -> bool:
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            return False
        return True


def _array(data: bytes) -> Image:
    """Read a .npy of (H, W, 3) uint8 without believing the size that it announces; `ValueError` for others."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not of version 1.0")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if len(shape) != 3 or shape[2] != 3 or min(shape) < 1 or dtype != np.uint8:
        raise ValueError(f"it is {shape} {dtype}; expected (H, W, 3) uint8")
    if math.prod(shape) != len(data) - file.tell():
        raise ValueError(f"{len(data) - file.tell()} bytes for {shape}")
    pixels = np.frombuffer(data, np.uint8, offset=file.tell())
    return pixels.reshape(shape, order="F" if by_columns else "C").copy(order="C")
