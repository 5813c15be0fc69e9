"""Write values in TOML, for which the standard library has no writer."""

from __future__ import annotations

import json


def toml_value(value: str | float | bool) -> str:
    """Return a string, number or boolean in TOML, which equals JSON without surrogate escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
