"""Quantization: float model and calibration images in, a gated INT8 .tflite out, measured on COCO.

The names below are the public interface; everything else may change between versions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant.accuracy.evaluation import Evaluation, measure_ap

__all__ = ["Evaluation", "measure_ap"]
_HOMES = {"Evaluation": "accuracy.evaluation", "measure_ap": "accuracy.evaluation"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
