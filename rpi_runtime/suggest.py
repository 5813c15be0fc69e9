"""What a mistyped name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SIMILARITY = 0.5  # of difflib's ratio, below which two words are not alike


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean NAME?`` for the nearest known name, or the list of all of them.

    Examples
    --------
    >>> did_you_mean("modle", ["model", "source"])
    'did you mean model?'
    >>> did_you_mean("xyz", ["model", "source"])
    'known: model, source'
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, 1, SIMILARITY)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
