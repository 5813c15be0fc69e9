"""Input files: regular ones only, opened without waiting, and JSON and TOML that hold nothing but what they may."""

from __future__ import annotations

import errno
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

from rpi_runtime.errors import InputError, PiposeError

_DEEPEST = 50  # levels of tables and lists in TOML; no file of ours has more than four
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_input(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Opening a named pipe without a writer, or some devices, blocks for ever; this refuses them at once.

    Raises
    ------
    OSError
        The file is missing, a folder, or may not be read.
    InputError
        The path is a pipe, a socket or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        for is_kind, kind in _KINDS:
            if is_kind(mode):
                raise InputError(f"{path}: is {kind}; expected a file, copy what it gives into one")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_input(path: Path, most: int | None = None) -> bytes:
    """Return the bytes of a regular file. Raises `InputError` above `most` bytes, and the errors of `open_input`."""
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise InputError(f"{path}: {size} bytes, expected at most {most}; is it the file that you mean?")
        return file.read()


def real_path(path: Path) -> Path:
    """Return a path absolute and without links. A link in a loop stays as it is, and so does a name with a NUL.

    `Path.resolve` raises `RuntimeError` for a loop before Python 3.13, and `ValueError` for a NUL.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        return Path.cwd() / path


def shown_name(path: Path) -> str:
    """Return a file's name as text that every encoding of Unicode takes: bytes that are not UTF-8 as ``\\udcXX``."""
    return path.name.encode(errors="backslashreplace").decode()


def parse_json(data: bytes | str, name: object, remedy: str, error: type[PiposeError] = InputError) -> Any:
    """Parse JSON (RFC 8259).

    Parameters
    ----------
    data : bytes or str
        Bytes may be UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
    name : object
        Name of the file, for messages.
    remedy : str
        What the user can do.
    error : type of PiposeError

    Raises
    ------
    PiposeError
        An instance of `error`: the text is not JSON, holds NaN or Infinity (which Python accepts and JSON does not), is
        nested too deeply, or has an integer of thousands of digits.
    """
    try:
        if isinstance(data, str):
            return json.loads(data.removeprefix("\ufeff"), parse_constant=_no_number)
        return json.loads(data, parse_constant=_no_number)
    except RecursionError as err:
        raise error(f"{name}: not valid JSON (nested too deeply); {remedy}") from err
    except ValueError as err:  # of which UnicodeDecodeError and JSONDecodeError are kinds
        raise error(f"{name}: not valid JSON ({err}); {remedy}") from err


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is not a number that JSON has")


def parse_toml(
    data: bytes, name: object, remedy: str, error: type[PiposeError] = InputError
) -> dict[str, Any]:
    """Parse TOML; the errors are those of `parse_json`."""
    try:
        return loads_toml(data.decode("utf-8-sig"))
    except RecursionError as err:
        raise error(f"{name}: not valid TOML (nested too deeply); {remedy}") from err
    except ValueError as err:
        raise error(f"{name}: not valid TOML ({err}); {remedy}") from err


def loads_toml(text: str) -> dict[str, Any]:
    """Parse TOML as `tomllib` does; `RecursionError` also where a dotted name nests tables that no reader descends."""
    data = tomllib.loads(text)
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        level = [v for node in level for v in (node.values() if isinstance(node, dict) else node)]
        level = [v for v in level if isinstance(v, dict | list)]
        if not level:
            return data
    raise RecursionError(f"nested deeper than {_DEEPEST}")
