"""The networks of a run that names none: the pair that one command exports, if it is in the usual place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FINDER = Path("models/person-finder-320x320-int8.tflite")
REFINER = Path("models/person-refiner-96x128-int8.tflite")
EXPORT = "--pair --int8"  # options of the command that makes both


def default_pair(folder: Path, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the missing settings ``model`` and ``refine``, in the form of a configuration file.

    The result is empty if a model is given, or if the finder or the refiner is missing in `folder`.

    Parameters
    ----------
    folder : Path
        The current folder of a run, to which the usual paths are relative.
    given : mapping
        Settings, of which only the names matter.
    """
    finder, refiner = folder / FINDER, folder / REFINER
    if "model" in given or not (finder.is_file() and refiner.is_file()):
        return {}
    pair = {"model": str(finder)}
    return pair if "refine" in given else {**pair, "refine": str(refiner)}
