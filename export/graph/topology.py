"""A network of the zoo without its weights, as `export.zoo.draw` stores it, so that exporting needs no PyTorch.

The file is ONNX's own text form (https://onnx.ai/onnx/repo-docs/Syntax.html). The first input is the image, of any
height H and width W; each further input is a parameter, named by its key in the state_dict, with its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph.float_model import FloatModel
from export.graph.from_onnx import from_onnx
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
        A file of the package, written by `export.zoo.draw`.
    """

    def __init__(self, path: Path) -> None:
        self._model = onnx.parser.parse_model(path.read_text())
        _, *parameters = self._model.graph.input
        self.shapes: dict[str, tuple[int, ...]] = {
            p.name: tuple(d.dim_value for d in p.type.tensor_type.shape.dim) for p in parameters
        }

    def model(self, state: State) -> onnx.ModelProto:
        """Return the graph with the weights in it, for images of any size.

        Parameters
        ----------
        state : mapping of str to ndarray
            Weights that `export.weights.state.check_state` has checked against `shapes`.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.input[1:]
        model.graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(state[name], np.float32), name)
            for name in self.shapes
        )
        return model

    def run(self, state: State, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the graph in ONNX Runtime on one (1, 3, H, W) image; return the outputs by name."""
        session = onnxruntime.InferenceSession(
            self.model(state).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        names = [o.name for o in session.get_outputs()]
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


def build_from_topology(
    topology: Topology, state: State, normalisation: InputSpec, spec: InputSpec
) -> FloatModel:
    """Return the float model for one input.

    Parameters
    ----------
    topology : Topology
    state : mapping of str to ndarray
    normalisation : InputSpec
        Normalisation of the published network. One that an int8 input cannot express becomes part of the network.
    spec : InputSpec
        The input of the file that is made.
    """
    model = topology.model(state)
    inner = replace(normalisation, width=spec.width, height=spec.height)
    made = from_onnx(model, "the stored network", inner, [o.name for o in model.graph.output])
    if not is_plain(normalisation):
        prepend_normalisation(made.model, normalisation)
    return made
