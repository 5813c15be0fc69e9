"""Short forms on a command line: ``KIND:TARGET,key=value,...``, and their values by type."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

from rpi_runtime.errors import UsageError
from rpi_runtime.masking import mask
from rpi_runtime.suggest import did_you_mean, is_near

_PAIR = re.compile(r",([a-z][a-z0-9_]*)=([^,]*)$")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_spec(
    text: str, kinds: Collection[str], guess: Callable[[str], str] | None = None
) -> dict[str, str]:
    """Split a short form into its parts.

    Parameters
    ----------
    text : str
        ``KIND``, ``KIND:TARGET`` or ``TARGET``, followed by ``,key=value``. Options are taken from the end, so
        a target may hold commas and colons.
    kinds : collection of str
    guess : callable, optional
        Returns the kind of a target without one, or "" if it is unknown; without `guess` such a target is an error.

    Returns
    -------
    dict of str to str
        ``kind``, ``target`` if there is one, and the options.
    """
    options: dict[str, str] = {}
    rest = text.strip()
    while found := _PAIR.search(rest):
        if "://" in rest and re.search("[@/]", found[2]):
            break  # a part of the address, because passwords hold commas and equals signs
        options.setdefault(found[1], found[2])
        rest = rest[: found.start()]
    kind, colon, target = rest.partition(":")
    if guess is not None and colon and os.path.lexists(rest) and (guessed := guess(rest)):
        return {"kind": guessed, "target": rest} | options  # a file whose name holds a colon
    if kind in kinds:
        named = {"kind": kind, "target": target} if colon and target else {"kind": kind}
        return named | options
    guessed = guess(rest) if guess is not None and not is_near(kind, kinds) and rest else ""
    if not guessed:
        raise UsageError(f"unknown kind {mask(kind)!r}", remedy=did_you_mean(kind, kinds))
    return {"kind": guessed, "target": rest} | options


def parse_pairs(text: str) -> dict[str, str]:
    """Return the options of ``key=value,key=value``."""
    pairs = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{part!r}: expected key=value")
        pairs[key.strip()] = value.strip()
    return pairs


def typed(cls: type[Any], words: Mapping[str, str]) -> dict[str, Any]:
    """Return the words converted to the types that the dataclass `cls` declares; unknown keys stay words."""
    hints = get_type_hints(cls)
    return {key: _value(hints.get(key, str), key, word) for key, word in words.items()}


def _value(hint: Any, key: str, word: str) -> Any:
    try:
        if hint is bool:
            return (_TRUE + _FALSE).index(word.lower()) < len(_TRUE)
        if hint in (int, float):
            number = hint(word)
            if not math.isfinite(number):
                raise ValueError(word)
            return number
    except ValueError:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[hint]
        raise UsageError(f"expected {wanted}, got {word!r}", key=key) from None
    return word
