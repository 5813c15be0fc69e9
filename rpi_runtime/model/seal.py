"""A checksum of the flatbuffer inside a .tflite, in the comment of the archive behind it.

Interpreters do not verify a flatbuffer: a flipped bit, for example from a worn memory card, crashes the process or
silently changes weights. The archive's own checksums cover only its members.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path

from rpi_runtime.errors import InputError
from rpi_runtime.inputs import open_input
from rpi_runtime.model.member import open_archive

CHUNK = 1 << 20


def seal_of(flatbuffer: bytes) -> bytes:
    """Return the archive comment that seals these bytes."""
    return b"flatbuffer crc32 %08x" % zlib.crc32(flatbuffer)


def check_seal(path: Path) -> None:
    """Compare a file with its seal. A file without archive or seal passes.

    Raises
    ------
    InputError
        The flatbuffer differs from the sealed one.
    """
    try:
        with open_input(path) as file, open_archive(file) as archive:
            match = re.fullmatch(rb"flatbuffer crc32 ([0-9a-f]{8})", archive.comment)
            left = min((item.header_offset for item in archive.infolist()), default=0)
    except (zipfile.BadZipFile, struct.error, ValueError, OSError):
        return
    if match is None:
        return
    checksum = 0
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            checksum = zlib.crc32(chunk, checksum)
            left -= len(chunk)
    if checksum != int(match[1], 16):
        raise InputError(
            f"{path}: is damaged (its checksum does not fit)", remedy="copy it again from where it was made"
        )
