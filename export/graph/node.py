"""One node of an ONNX graph, with shapes and types of the values that it reads and computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]
# types that a .tflite stores instead of those that its operators do not take
STORED = {np.dtype(np.int64): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of the ONNX graph.

    Attributes
    ----------
    kind : str
        ONNX operator, such as ``Conv``.
    name : str
    inputs, outputs : tuple of str
        Names of values; "" for an optional one that is left out.
    attributes : dict
        Values have types of Python and NumPy.
    shapes, dtypes : dict
        Shape and type of every value of the graph, by name.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    shapes: dict[str, Shape] = field(repr=False)
    dtypes: dict[str, np.dtype[Any]] = field(repr=False)

    def get(self, attribute: str, default: Any) -> Any:
        """Return an attribute, or its default in ONNX."""
        return self.attributes.get(attribute, default)

    def has(self, index: int) -> bool:
        """Return whether an optional input is given."""
        return index < len(self.inputs) and bool(self.inputs[index])

    @property
    def shape(self) -> Shape:
        """Shape of the first output in ONNX."""
        return self.shapes[self.outputs[0]]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the first output in the .tflite."""
        dtype = self.dtypes[self.outputs[0]]
        return STORED.get(dtype, dtype)
