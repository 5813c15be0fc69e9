"""Detect truncated video files by the length that their container states.

Sources: ISO/IEC 14496-12 (boxes of MP4 and MOV: size and type, 64-bit size for size 1, to the end for 0);
Microsoft, AVI RIFF File Reference (a RIFF chunk's size does not count its first 8 bytes); RFC 8794 (EBML: sizes
of one to eight bytes, all ones for unknown).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MOST_BOXES = 10_000


def missing_bytes(path: Path) -> int:
    """Return how many bytes a file lacks of its container's stated length; 0 if none, or if that is unknown.

    Parameters
    ----------
    path : path
        An MP4, MOV, AVI or Matroska file. Other formats, such as MPEG-TS, do not state their length.
    """
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            end = _announced_end(file, length)
    except OSError:
        return 0
    return max(end - length, 0)


def _announced_end(file: BinaryIO, length: int) -> int:
    head = file.read(12)
    if head[:4] == b"RIFF":
        return _end_of_riff(file, length)
    if head[:4] == _EBML:
        return _end_of_matroska(file)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _end_of_boxes(file, length)
    return 0


def _end_of_riff(file: BinaryIO, length: int) -> int:
    """Return the stated length of an AVI file. A file of more than 1 GB has several consecutive RIFF chunks."""
    position = 0
    while position < length:
        file.seek(position)
        head = file.read(8)
        if head[:4] != b"RIFF" or len(head) < 8:
            return position if position else 0
        size = int.from_bytes(head[4:], "little")
        if size == 0:  # the writer was killed before it knew the size
            return 0
        position += 8 + size
    return position


def _end_of_boxes(file: BinaryIO, length: int) -> int:
    position = 0
    for _ in range(_MOST_BOXES):
        if position >= length:
            break
        file.seek(position)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 or len(head) < 8:
            return 0  # a box up to the end of the file; or trailing bytes that are not a box
        if size < 8 or not head[4:8].isascii():
            return 0
        position += size
    return position


def _end_of_matroska(file: BinaryIO) -> int:
    file.seek(4)
    size = _read_size(file)
    if size is None:
        return 0
    file.seek(size, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    size = _read_size(file)
    return 0 if size is None else file.tell() + size


def _read_size(file: BinaryIO) -> int | None:
    """Return an EBML size; None if it is unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    value = first[0] & ((1 << (8 - width)) - 1)
    value = int.from_bytes(bytes([value]) + file.read(width - 1), "big")
    return None if value == (1 << 7 * width) - 1 else value
