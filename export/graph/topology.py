"""A network of the zoo without its weights, as `export.zoo.draw` stores it, so that exporting needs no PyTorch.

The file is ONNX's own text form (https://onnx.ai/onnx/repo-docs/Syntax.html). The graph's first input is the image, of
any height H and width W; each further input is a parameter under its key of the state_dict, with its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph.graph import OnnxGraph, tidy
from export.graph.normalisation import prepend_normalisation
from export.zoo.inputs import is_plain
from rpi_runtime.model.card import InputSpec

SUFFIX = ".onnx.txt"
State = Mapping[str, NDArray[np.float32]]


class Topology:
    """A stored graph.

    Parameters
    ----------
    path : path
        Of the package; written by `export.zoo.draw`.
    """

    def __init__(self, path: Path) -> None:
        self._model = onnx.parser.parse_model(path.read_text())
        _, *parameters = self._model.graph.input
        self.shapes: dict[str, tuple[int, ...]] = {
            p.name: tuple(d.dim_value for d in p.type.tensor_type.shape.dim) for p in parameters
        }

    def graph(self, state: State, width: int, height: int) -> OnnxGraph:
        """Return the graph in plain form at one input size, with the weights in it.

        Parameters
        ----------
        state : mapping of str to ndarray
            Checked against `shapes`, as `export.weights.state.check_state` does.
        width, height : int
        """
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        image = model.graph.input[0]
        del model.graph.input[1:]
        for dim, size in zip(image.type.tensor_type.shape.dim, (1, 3, height, width), strict=True):
            dim.dim_value = size
        model.graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(state[name], np.float32), name)
            for name in self.shapes
        )
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        return tidy(onnx.shape_inference.infer_shapes(model, strict_mode=True))


def build_from_topology(
    topology: Topology, state: State, normalisation: InputSpec, spec: InputSpec
) -> OnnxGraph:
    """Return the graph for one input.

    Parameters
    ----------
    topology : Topology
    state : mapping of str to ndarray
    normalisation : InputSpec
        Of the published network; goes inside the graph where an int8 input cannot be it.
    spec : InputSpec
        The input of the file that is made.
    """
    graph = topology.graph(state, spec.width, spec.height)
    if not is_plain(normalisation):
        prepend_normalisation(graph, normalisation)
    return graph
