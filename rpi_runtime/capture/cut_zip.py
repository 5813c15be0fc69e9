"""The .zip of a recording whose end is missing, because the recorder was killed or a copy was cut short.

Source: PKWARE, APPNOTE.TXT 6.3.10, section 4.3.7 (local file header) and 4.5 (extra fields). The list of members is at
the end of a .zip, and so is the index of a recording. Therefore each frame carries its time in an extra field of its
own header, which stands before its bytes, so that a file without an end is read from its beginning.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from rpi_runtime.inputs import open_input

_LOCAL = struct.Struct("<4s5H3I2H")
_TIME = struct.Struct("<HHq")
_TIME_KIND = 0x5050  # free in section 4.5.2, and in the list of third parties in 4.6.1
_MOST_FRAMES = 1 << 22  # a day and a half at 30 frames a second


def time_field(timestamp_ns: int) -> bytes:
    """Return the extra field of a member with its time, of at most 64 bits."""
    return _TIME.pack(_TIME_KIND, 8, timestamp_ns)


class _Member(NamedTuple):
    offset: int  # of the data, from the beginning of the file
    size: int
    crc: int


class CutZip:
    """The frames of a recording's .zip, as far as they are whole.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    frames : list of (str, int)
        Name and timestamp in nanoseconds of each member that carries a time, in the order of the file.

    Raises
    ------
    OSError, InputError
        The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.frames: list[tuple[str, int]] = []
        self._members: dict[str, _Member] = {}
        self._file = open_input(path)
        try:
            self._find(self._file.seek(0, 2))
        except BaseException:
            self._file.close()
            raise

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a member.

        Raises
        ------
        KeyError, ValueError
            It is missing; it is damaged, or larger than `most` bytes.
        """
        member = self._members[name]
        if member.size > most:
            raise ValueError(f"{name}: {member.size} bytes")
        self._file.seek(member.offset)
        data = self._file.read(member.size)
        if zlib.crc32(data) != member.crc:
            raise ValueError(f"{name}: its checksum is wrong")
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find(self, length: int) -> None:
        """Go from header to header, up to the first that is not whole."""
        position = 0
        while len(self.frames) < _MOST_FRAMES:
            self._file.seek(position)
            head = self._file.read(_LOCAL.size)
            if len(head) < _LOCAL.size:
                return
            signature, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
            begin = position + _LOCAL.size + name_size + extra_size
            # stored members with their sizes before them only, as the recorder writes them; a member of which it had
            # not written the last byte has no packed size yet
            if signature != b"PK\3\4" or flags & 9 or method or packed != size or begin + size > length:
                return
            name = self._file.read(name_size).decode("utf-8", "replace")
            stamp = _stamp(self._file.read(extra_size))
            if stamp is not None and name not in self._members and name.isprintable():
                self.frames.append((name, stamp))
                self._members[name] = _Member(begin, size, crc)
            position = begin + size


def _stamp(extra: bytes) -> int | None:
    """Return the time in a member's extra fields; None if there is none."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == _TIME_KIND and size == 8 and len(extra) >= _TIME.size:
            return int(_TIME.unpack_from(extra)[2])
        extra = extra[4 + size :]
    return None
