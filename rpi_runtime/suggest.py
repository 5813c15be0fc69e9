"""What a mistyped name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

SIMILARITY = 0.5  # difflib's ratio below which two words are not similar
LONGEST = 100  # letters that are compared; hostile words may be of any length
MISTYPED = 0.75  # above this a word that could also be a file name is taken for a mistyped one


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'NAME'?`` for the nearest known name, or the list of all of them.

    Examples
    --------
    >>> did_you_mean("modle", ["model", "source"])
    "did you mean 'model'?"
    >>> did_you_mean("xyz", ["model", "source"])
    'known: model, source'
    """
    names = list(known)
    near = difflib.get_close_matches(word[:LONGEST], names, 1, SIMILARITY)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"


def is_near(word: str, known: Collection[str]) -> bool:
    """Return whether a word, which may be valid without being in `known`, looks like a mistyped known one."""
    return bool(difflib.get_close_matches(word, known, 1, MISTYPED))
