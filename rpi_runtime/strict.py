"""Strict dataclasses from parsed JSON or TOML: every key known, every value of its declared type."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rpi_runtime.errors import PiposeError
from rpi_runtime.suggest import did_you_mean

SECRETS = ("password", "token", "username")  # keys whose values no message shows

T = TypeVar("T")
MOST_ITEMS = 4096  # elements of a list, far more than any setting needs
_SHOWN = 80  # letters of a wrong value in a message


def from_mapping(cls: type[T], data: Mapping[str, Any], error: type[PiposeError], where: str = "") -> T:
    """Build the dataclass `cls` from `data`, recursing into nested dataclasses and tuples.

    Parameters
    ----------
    cls : dataclass type
    data : mapping
        Parsed JSON or TOML.
    error : type of PiposeError
        Raised, with the dotted path of the key, for an unknown, missing or mistyped key.
    where : str
        Dotted path of `data` itself, for messages.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise error("unknown key", remedy=did_you_mean(key, fields), key=_shown_key(where, key))
    hints = _hints(cls)  # type: ignore[arg-type]
    values = {}
    for name, spec in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], error, _join(where, name))
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise error("missing key", key=_join(where, name))
    return cls(**values)


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _shown_key(where: str, key: str) -> str:
    """Return the dotted path of an arbitrary key, as a message shows it."""
    path = _join(where, key)
    return path if path.isprintable() and len(path) <= _SHOWN else shown(path)


def _convert(hint: Any, value: Any, error: type[PiposeError], where: str) -> Any:
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise error(f"expected a table, got {shown(value)}", key=where)
        return from_mapping(hint, value, error, where)
    if origin is tuple:
        return _convert_tuple(get_args(hint), value, error, where)
    if origin is Literal:
        if value not in get_args(hint):
            raise error(
                f"got {shown(value)}, expected one of {', '.join(map(repr, get_args(hint)))}", key=where
            )
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        return _convert(_member(hint, value, error, where), value, error, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise error(f"expected a table, got {shown(value)}", key=where)
        item = get_args(hint)[1]
        return {str(k): _convert(item, v, error, _join(where, str(k))) for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as err:
            raise error("expected float, got an integer beyond its range", key=where) from err
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        is_secret = where.rpartition(".")[2] in SECRETS
        got = f"a {type(value).__name__}" if is_secret else shown(value)
        raise error(f"expected {hint.__name__}, got {got}", key=where)
    if isinstance(value, str) and "\0" in value:
        raise error("holds a NUL character, which no name and no path can", key=where)
    if hint is int and not -(2**63) <= value < 2**63:
        raise error(f"expected an integer of 64 bits, got {shown(value)}", key=where)
    if isinstance(value, float) and not math.isfinite(value):
        raise error(f"expected a finite number, got {value}", key=where)
    return value


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, shortened if it is long."""
    if isinstance(value, list | tuple | Mapping) and (len(value) > 6 or any(map(_nests, value))):
        kind = "a table" if isinstance(value, Mapping) else "a list"
        return f"{kind} of {len(value)}"
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}..."


def _nests(value: object) -> bool:
    return isinstance(value, list | tuple | Mapping)


def finite(word: str) -> float:
    """Parse a number of a command line, as argparse's `type`. Unlike `float`, this refuses NaN and infinity."""
    value = float(word)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {word!r}")
    return value


def _member(hint: Any, value: Any, error: type[PiposeError], where: str) -> Any:
    """Return the member of a union that `value` belongs to; among dataclasses, that named by `kind`, or the first."""
    members = [a for a in get_args(hint) if a is not type(None)]
    if len(members) == 1 or not isinstance(value, Mapping) or "kind" not in value:
        return members[0]
    kinds = {get_args(_hints(m)["kind"])[0]: m for m in members}
    if not isinstance(value["kind"], str) or value["kind"] not in kinds:  # a list cannot be looked up
        expected = ", ".join(map(repr, kinds))
        raise error(f"got {shown(value['kind'])}, expected one of {expected}", key=_join(where, "kind"))
    return kinds[value["kind"]]


def _convert_tuple(args: tuple[Any, ...], value: Any, error: type[PiposeError], where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise error(f"expected a list, got {shown(value)}", key=where)
    if len(args) == 2 and args[1] is Ellipsis:
        if len(value) > MOST_ITEMS:
            raise error(f"{len(value)} entries, expected at most {MOST_ITEMS}", key=where)
        return tuple(_convert(args[0], v, error, f"{where}[{i}]") for i, v in enumerate(value))
    if len(value) != len(args):
        raise error(f"expected {len(args)} values, got {len(value)}", key=where)
    pairs = zip(args, value, strict=True)
    return tuple(_convert(a, v, error, f"{where}[{i}]") for i, (a, v) in enumerate(pairs))
