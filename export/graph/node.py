"""One node of an ONNX graph, with all that is known of the values that it reads and makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]
# what a .tflite stores instead of types that its operators do not take
STORED = {np.dtype(np.int64): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of the ONNX graph.

    Attributes
    ----------
    kind : str
        Its operator, as ``Conv``.
    name : str
    inputs, outputs : tuple of str
        Names of values; an empty one is left out.
    attributes : dict
        In Python's and NumPy's types.
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
        """An attribute, or what ONNX says for one that is not given."""
        return self.attributes.get(attribute, default)

    def has(self, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(self.inputs) and bool(self.inputs[index])

    @property
    def shape(self) -> Shape:
        """Of the first output, as ONNX sees it."""
        return self.shapes[self.outputs[0]]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the .tflite stores the first output in."""
        dtype = self.dtypes[self.outputs[0]]
        return STORED.get(dtype, dtype)
