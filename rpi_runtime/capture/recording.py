"""The files of a recording: its index, and the pictures that it names.

The format, in a folder or in a .zip with the same members:

``frames.jsonl``
    One JSON object per line. The first line is the header, ``{"replay": 1, "source": "..."}``; every other line
    is a frame, ``{"file": "000000.jpg", "timestamp_ns": 0}``, in the order in which they were taken, with
    timestamps in nanoseconds that never go back.
``000000.jpg``, ...
    The pictures: .jpg, .png (exact), or .npy, a NumPy array of (H, W, 3) uint8 in B, G, R order (exact and
    fast).

A .zip without its end, whose recorder was killed, is read as far as it goes (`rpi_runtime.capture.cut_zip`).
"""

from __future__ import annotations

import json
import logging
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.capture.cut_zip import CutZip
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.errors import InputError, SourceError
from rpi_runtime.inputs import open_input, parse_json, read_input
from rpi_runtime.poses import Image

log = logging.getLogger(__name__)

REPLAY_FORMAT = 1
INDEX = "frames.jsonl"
_REMEDY = "record it again, with the command `record`"
_MOST_BYTES = 256 << 20  # of a member: more than the largest picture, exact, and than an index of a week
_MOST_NS = 1 << 62  # so that a lap more still fits 64 bits

_MAGIC, _HEADER_BEGIN = (
    b"\x93NUMPY\x01\x00",
    10,
)  # of a .npy; the header's length stands in the two bytes between
_HEADER = re.compile(
    rb"\{'descr': '\|u1', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,60})\), \}[ ]*\n"
)

# what opening and reading a member raise: encrypted members, unknown kinds of compression, names with a NUL
_DAMAGED = (
    OSError, KeyError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, InputError,
)  # fmt: skip


class Recording:
    """A recording on the disk.

    Parameters
    ----------
    path : path
        Folder or .zip.

    Attributes
    ----------
    entries : list of (str, int)
        Name and timestamp in nanoseconds of each frame; at least one, and no timestamp is before the last one.

    Raises
    ------
    SourceError
        There is no recording, or its index is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | CutZip | None = None
        if not path.exists():
            raise SourceError(f"{path}: no such recording; {_REMEDY}")
        if not path.is_dir():
            self._archive = self._open_zip()
        try:
            self.entries = self._checked_entries()
        except BaseException:
            self.close()
            raise

    def picture(self, name: str) -> Image:
        """Return one frame; raises `InputError`, of which `SourceError` is a kind, if it cannot be decoded."""
        data = self._bytes(name)
        if not name.endswith(".npy"):
            return read_picture(data, f"{self._path}/{name}")
        try:
            return _array(data)
        except (ValueError, EOFError) as err:
            raise SourceError(f"{self._path}: {name} is no NumPy array ({err}); {_REMEDY}") from err

    def close(self) -> None:
        """Close the .zip."""
        if self._archive is not None:
            self._archive.close()

    def _open_zip(self) -> zipfile.ZipFile | CutZip:
        try:
            open_input(self._path).close()  # a pipe would be waited for
            return zipfile.ZipFile(self._path)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as err:
            cut = self._open_cut_zip() if isinstance(err, zipfile.BadZipFile) else None
            if cut is None:
                raise SourceError(f"{self._path}: not a complete .zip ({err}); {_REMEDY}") from err
            return cut

    def _open_cut_zip(self) -> CutZip | None:
        """Return what is whole of a .zip without its end; None if there is nothing."""
        cut = CutZip(self._path)
        if not cut.frames:
            cut.close()
            return None
        log.warning(
            "%s: the recording was cut off, because its recorder was killed or a copy is not whole; its first %d "
            "frames are whole and are played", self._path, len(cut.frames),
        )  # fmt: skip
        return cut

    def _bytes(self, name: str) -> bytes:
        try:
            if self._archive is None:
                return read_input(self._path / name, _MOST_BYTES)
            if isinstance(self._archive, CutZip):
                return self._archive.read(name, _MOST_BYTES)
            with self._archive.open(name) as member:
                data = member.read(_MOST_BYTES + 1)
        except _DAMAGED as err:
            raise SourceError(f"{self._path}: {name} is missing or damaged; {_REMEDY}") from err
        if len(data) > _MOST_BYTES:
            raise SourceError(f"{self._path}: {name} is larger than {_MOST_BYTES >> 20} MiB; {_REMEDY}")
        return data

    def _checked_entries(self) -> list[tuple[str, int]]:
        entries = self._archive.frames if isinstance(self._archive, CutZip) else self._read_index()
        if not entries:
            raise SourceError(f"{self._path}: the recording holds no frames; {_REMEDY}")
        stamps = [stamp for _, stamp in entries]
        if max(map(abs, stamps)) >= _MOST_NS:
            raise SourceError(f"{self._path}: expected timestamps of 64 bits; {_REMEDY}")
        if stamps != sorted(stamps):
            raise SourceError(f"{self._path}: its timestamps go back; {_REMEDY}")
        return entries

    def _read_index(self) -> list[tuple[str, int]]:
        lines = self._bytes(INDEX).splitlines()
        header = self._parse(lines[0], 1) if lines else {}
        if header.get("replay") != REPLAY_FORMAT:
            raise SourceError(f"{self._path}: its {INDEX} is not of replay format {REPLAY_FORMAT}; {_REMEDY}")
        if lines and not self._complete(lines[-1]):
            lines.pop()  # the recorder was killed while it wrote this line
        return [self._entry(line, number) for number, line in enumerate(lines[1:], 2)]

    def _entry(self, line: bytes, number: int) -> tuple[str, int]:
        entry = self._parse(line, number)
        name, stamp = entry.get("file"), entry.get("timestamp_ns")
        if not isinstance(name, str) or "\0" in name or name != Path(name).name:
            raise SourceError(f"{self._path}: {INDEX}:{number}: expected a plain file name; {_REMEDY}")
        if not isinstance(stamp, int) or isinstance(stamp, bool):
            raise SourceError(
                f"{self._path}: {INDEX}:{number}: expected a whole number as timestamp_ns; {_REMEDY}"
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
    """Read a .npy of (H, W, 3) uint8 without believing the size that it announces; `ValueError` for others.

    NumPy evaluates the header as Python and raises whatever its tokenizer or the literal does. The header is therefore
    compared with the one form in which NumPy writes it (version 1.0 of its format).
    """
    if data[:8] != _MAGIC or len(data) < _HEADER_BEGIN:
        raise ValueError("not of version 1.0")
    begin = _HEADER_BEGIN + int.from_bytes(data[8:_HEADER_BEGIN], "little")
    header = _HEADER.fullmatch(data[_HEADER_BEGIN:begin])
    if header is None:
        raise ValueError(f"its header is {data[_HEADER_BEGIN:begin][:80]!r}; expected (H, W, 3) uint8")
    shape = tuple(int(side) for side in header[2].split(b",") if side.strip())
    if len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise ValueError(f"it is {shape}; expected (H, W, 3)")
    if math.prod(shape) != len(data) - begin:
        raise ValueError(f"{len(data) - begin} bytes for {shape}")
    pixels = np.frombuffer(data, np.uint8, offset=begin)
    return pixels.reshape(shape, order="F" if header[1] == b"True" else "C").copy(order="C")
