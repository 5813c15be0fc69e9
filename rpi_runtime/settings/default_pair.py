"""The networks of a run that names none: the pair that one command exports, if it is in the usual place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FINDER = Path("models/person-finder-320x320-int8.tflite")
REFINERS = tuple(
    Path("models") / name
    for name in ("person-refiner-96x128-int8.tflite", "person-refiner-large-192x256-int8.tflite")
)
EXPORT = "--pair --int8"  # options of the command that makes both


def default_pair(folder: Path, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the missing settings ``model`` and ``refine``, in the form of a configuration file.

    The result is empty if a model is given, or if the finder or every refiner is missing in `folder`. Of several
    refiners the smallest is taken, which keeps up where the larger ones may not.

    Parameters
    ----------
    folder : Path
        The current folder of a run, to which the usual paths are relative.
    given : mapping
        Settings, of which only the names matter.
    """
    finder = folder / FINDER
    refiner = next((path for name in REFINERS if (path := folder / name).is_file()), None)
    if "model" in given or refiner is None or not finder.is_file():
        return {}
    pair = {"model": str(finder)}
    return pair if "refine" in given else {**pair, "refine": str(refiner)}
