"""The Raspberry Pi half of pipose: frame -> preprocess -> infer -> decode -> track -> sinks.

The names below are the public interface; everything else may change between versions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpi_runtime.assemble import open_pipeline
    from rpi_runtime.capture.pictures import read_picture, write_picture
    from rpi_runtime.errors import PiposeError
    from rpi_runtime.estimate import Estimate, Estimator
    from rpi_runtime.model.card import ModelCard, read_card
    from rpi_runtime.pipeline import Pipeline
    from rpi_runtime.poses import Pose, Track
    from rpi_runtime.sinks.draw import draw_people
    from rpi_runtime.sinks.sink import About, OpenSink, Result, Sink
    from rpi_runtime.stop import StopFlag

__version__ = "0.1.0"
__all__ = [
    "About",
    "Estimate",
    "Estimator",
    "ModelCard",
    "OpenSink",
    "Pipeline",
    "PiposeError",
    "Pose",
    "Result",
    "Sink",
    "StopFlag",
    "Track",
    "__version__",
    "draw_people",
    "open_pipeline",
    "read_card",
    "read_picture",
    "write_picture",
]
_HOMES = {
    "About": "sinks.sink",
    "Estimate": "estimate",
    "Estimator": "estimate",
    "ModelCard": "model.card",
    "OpenSink": "sinks.sink",
    "Pipeline": "pipeline",
    "PiposeError": "errors",
    "Pose": "poses",
    "Result": "sinks.sink",
    "Sink": "sinks.sink",
    "StopFlag": "stop",
    "Track": "poses",
    "draw_people": "sinks.draw",
    "open_pipeline": "assemble",
    "read_card": "model.card",
    "read_picture": "capture.pictures",
    "write_picture": "capture.pictures",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
