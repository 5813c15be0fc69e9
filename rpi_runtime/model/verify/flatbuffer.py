"""A bounded reader of FlatBuffers: what lies outside the bytes, or is not aligned, is an error and never a read.

The encoding is FlatBuffers' own (flatbuffers.dev, "Internals"): little-endian; a table starts with the signed distance
to its vtable, which holds the table's size and where each field lies; strings, vectors and tables are reached through
unsigned forward distances.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_TABLES = 200_000  # the largest network of the zoo has some 3,000

Field = tuple[str, str, Any]  # name, kind, default
Layouts = Mapping[str, tuple[Field, ...]]
Table = dict[str, Any]

_SCALARS = {code: struct.Struct(f"<{code}") for code in "bBhHiIqQfd?"}
_DTYPES = {code: np.dtype(f"<{code}") for code in "bBhHiIqQfd"} | {"?": np.dtype("u1")}
_POINTER = 4


class MalformedError(ValueError):
    """The bytes violate their format; the message says where."""


def want(condition: bool, otherwise: str) -> None:
    """Raise `MalformedError` with the text `otherwise` unless the condition holds."""
    if not condition:
        raise MalformedError(otherwise)


class Reader:
    """Reads tables out of bytes.

    Parameters
    ----------
    data : bytes-like
        Not copied; vectors that are returned are views of it.
    layouts : mapping of str to tuple of (name, kind, default)
        The fields of each table, in the order of their vtable. Kinds are a `struct` code for a scalar, ``s`` for a
        string, ``*`` for a table that the caller reads by `table`, the name of a table, or one of the first two or
        the last in brackets for a vector of them; ``-`` is a field that is not read.
    """

    def __init__(self, data: bytes | mmap.mmap, layouts: Layouts) -> None:
        self._data, self._layouts = data, layouts
        self._size = len(data)
        self._left = MOST_TABLES

    def root(self, name: str) -> Table:
        """Return the table that the first four bytes point to."""
        return self.table(self._pointed(0), name)

    def table(self, at: int, name: str) -> Table:
        """Return the table at a position: scalars as numbers, vectors as arrays, absent tables as None."""
        self._left -= 1
        if self._left < 0:
            raise MalformedError(f"more than {MOST_TABLES} tables")
        slots, size = self._vtable(at, name)
        found: Table = {}
        for (field, kind, default), slot in zip(self._layouts[name], slots, strict=False):
            place = f"{name}.{field}"
            found[field] = self._field(at + slot, at + size, kind, place) if slot else default
        for field, _, default in self._layouts[name][len(slots) :]:
            found[field] = default
        return found

    def _vtable(self, at: int, name: str) -> tuple[tuple[int, ...], int]:
        """Return where each field lies in the table, 0 for an absent one, and the table's size."""
        start = at - self._scalar(at, "i", name)
        length = self._scalar(start, "H", name)
        size = self._scalar(start + 2, "H", name)
        if length < 4 or length % 2 or start + length > self._size:
            raise MalformedError(f"{name}: a vtable of {length} bytes at {start}, of {self._size}")
        if size < _POINTER or at + size > self._size:
            raise MalformedError(f"{name}: {size} bytes at {at}, of {self._size}")
        return struct.unpack_from(f"<{length // 2 - 2}H", self._data, start + 4), size

    def _field(self, at: int, end: int, kind: str, place: str) -> Any:
        if kind == "-":
            return None
        width = _SCALARS[kind].size if kind in _SCALARS else _POINTER
        if at + width > end:
            raise MalformedError(f"{place}: outside its table")
        if kind in _SCALARS:
            return self._scalar(at, kind, place)
        target = self._pointed(at, place)
        if kind == "*":
            return target
        if kind == "s":
            return self._string(target, place)
        if kind[0] != "[":
            return self.table(target, kind)
        return self._vector(target, kind[1:-1], place)

    def _vector(self, at: int, kind: str, place: str) -> Any:
        dtype = _DTYPES.get(kind)
        count = self._count(at, _POINTER if dtype is None else dtype.itemsize, place)
        if dtype is not None:
            return np.frombuffer(self._data, dtype, count, at + 4)
        if count > self._left:
            raise MalformedError(f"{place}: {count} of them")
        places = [self._pointed(at + 4 + _POINTER * i, place) for i in range(count)]
        return [self._string(p, place) if kind == "s" else self.table(p, kind) for p in places]

    def _string(self, at: int, place: str) -> str:
        count = self._count(at, 1, place)
        end = at + 4 + count
        if end >= self._size or self._data[end] != 0:
            raise MalformedError(f"{place}: a string without an end")
        try:
            return bytes(self._data[at + 4 : end]).decode()
        except UnicodeDecodeError as err:
            raise MalformedError(f"{place}: a name that is not UTF-8") from err

    def _count(self, at: int, width: int, place: str) -> int:
        count: int = self._scalar(at, "I", place)
        if at + 4 + count * width > self._size:
            raise MalformedError(f"{place}: {count} values of {width} bytes at {at}, of {self._size}")
        if width > 4 and count and (at + 4) % width:
            raise MalformedError(f"{place}: values of {width} bytes at {at + 4}, not aligned")
        return count

    def _pointed(self, at: int, place: str = "root") -> int:
        distance: int = self._scalar(at, "I", place)
        if distance == 0:
            raise MalformedError(f"{place}: points to itself")
        return at + distance

    def _scalar(self, at: int, code: str, place: str) -> Any:
        packed = _SCALARS[code]
        if at < 0 or at + packed.size > self._size:
            raise MalformedError(f"{place}: {at} is outside the file's {self._size} bytes")
        if at % packed.size:
            raise MalformedError(f"{place}: {at} is no multiple of {packed.size}")
        return packed.unpack_from(self._data, at)[0]
