"""The archive behind a .tflite's flatbuffer: text files of bounded size, found by name.

An interpreter reads the flatbuffer from the front and ignores what follows; `zipfile` reads the archive from the back.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from rpi_runtime.errors import CardError, InputError, MissingMemberError
from rpi_runtime.inputs import open_input
from rpi_runtime.installing import export_line

CARD_MEMBER = "pipose/card.json"
CALIBRATION_MEMBER = "pipose/calibration.json"
# Bytes of a member, inflated. A manifest has some 100 bytes a picture.
MOST_BYTES = {CARD_MEMBER: 1 << 20, CALIBRATION_MEMBER: 16 << 20}
MOST_DIRECTORY = 1 << 20  # entries of the archive; zipfile makes an object of each one
# what zipfile raises on damaged archives
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, RuntimeError)
# the others have errors of their own, and a Python may lack their modules
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NO_CARD = "no model card inside"
_ABSENT = {CALIBRATION_MEMBER: ("holds no calibration manifest", "only INT8 files have one")}
# PKWARE's APPNOTE 4.3.16: the end of the central directory, a comment of at most 65535 bytes behind it
_END, _END_SIZE = b"PK\5\6", 22


def _remedy() -> str:
    return f"export the network, which writes one ({export_line()})"


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Open the archive at the end of a file; raises `zipfile.BadZipFile` if it is missing or has too many entries."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_SIZE - 65535))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or at + _END_SIZE > len(tail):
        raise zipfile.BadZipFile("no archive")
    (directory,) = struct.unpack_from("<I", tail, at + 12)
    if directory > MOST_DIRECTORY:  # also what a 64-bit archive has there
        raise zipfile.BadZipFile(f"a directory of {directory} bytes, expected at most {MOST_DIRECTORY}")
    return zipfile.ZipFile(file)


def read_member(path: Path | str, member: str) -> bytes:
    """Return one member of the archive inside a .tflite.

    Raises
    ------
    MissingMemberError
        The file has an archive without this member.
    CardError
        The file is missing or not a .tflite, or the archive or the member is damaged or too large.
    """
    path = Path(path)
    try:
        with open_input(path) as file:
            head = file.read(8)
            if head[4:8] != b"TFL3":
                raise CardError(
                    f"{path}: not a TFLite file (no TFL3 identifier)", remedy="expected a .tflite of pipose"
                )
            try:
                archive = open_archive(file)
            except _DAMAGED as err:
                raise CardError(
                    f"{path}: {_NO_CARD}", remedy=f"{_remedy()}, or copy the file again if it was truncated"
                ) from err
            with archive:
                return _read_from(archive, member, path)
    except CardError:
        raise
    except InputError as err:
        raise CardError(str(err)) from err
    except OSError as err:
        made = "" if path.suffix else ", which export.tflite makes of a network's name"
        raise CardError(
            f"{path}: cannot be read ({err.strerror or err})", remedy=f"give the path of a .tflite{made}"
        ) from err


def _read_from(archive: zipfile.ZipFile, member: str, path: Path) -> bytes:
    if member not in archive.namelist():
        what, remedy = _ABSENT.get(member, (_NO_CARD, _remedy()))
        raise MissingMemberError(f"{path}: {what}", remedy=remedy)
    kind = archive.getinfo(member).compress_type
    most = MOST_BYTES.get(member, 1 << 20)
    try:
        if kind not in _COMPRESSIONS:
            raise zipfile.BadZipFile(f"compression {kind}, expected stored or deflated")
        with archive.open(member) as opened:
            data = opened.read(most + 1)
        if len(data) > most:
            raise zipfile.BadZipFile(f"more than {most} bytes")
    except _DAMAGED as err:
        reason = str(err) or type(err).__name__
        raise CardError(
            f"{path}: {member} is damaged ({reason})", remedy="copy or export the file again"
        ) from err
    return data
