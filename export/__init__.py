"""Export: trained weights -> network -> ONNX -> float TFLite -> INT8 TFLite.

The names below are the public interface; everything else may change between versions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.report.outcome import Outcome
    from export.request import ExportRequest, export_files

__all__ = ["ExportRequest", "Outcome", "export_files"]
_HOMES = {"ExportRequest": "request", "Outcome": "report.outcome", "export_files": "request"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
