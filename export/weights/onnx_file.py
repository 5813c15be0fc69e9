"""Trained weights out of an ONNX graph: its convolutions in the order in which they are computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.weights.state import State
from rpi_runtime.errors import WeightsError


def convolutions(path: Path) -> State:
    """Read kernel and bias of every convolution, by their names in the file, in the order of its graph.

    The file is parsed, nothing in it is run. A convolution without a bias gets one of zeros.

    Raises
    ------
    WeightsError
        Not an ONNX file, values outside of it, or a convolution whose values are not constants.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (OSError, DecodeError, ValueError) as err:
        raise WeightsError(f"{path}: not a whole ONNX file ({err}); fetch it again") from err
    constants = {tensor.name: tensor for tensor in graph.initializer}
    state: State = {}
    for number, node in enumerate(n for n in graph.node if n.op_type == "Conv"):
        kernel, *bias = (_values(path, name, constants) for name in node.input[1:])
        state[f"{number}.{node.input[1]}"] = kernel
        state[f"{number}.{node.input[2] if bias else 'bias'}"] = (
            bias[0] if bias else np.zeros(len(kernel), np.float32)
        )
    return state


def _values(path: Path, name: str, constants: dict[str, Any]) -> NDArray[np.float32]:
    from onnx import TensorProto, numpy_helper

    tensor = constants.get(name)
    if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
        where = "in another file" if tensor is not None else "computed in the graph"
        raise WeightsError(
            f"{path}: {name} is {where}; expected a convolution's values as constants in this file"
        )
    return np.array(numpy_helper.to_array(tensor), np.float32)  # a copy: what is parsed cannot be written


def renamed(state: State, keys: Iterable[str], source: str) -> State:
    """Give convolutions in their order the names of a network's layers, in the same order.

    Raises
    ------
    WeightsError
        Another number of convolutions.
    """
    names, pairs = list(keys), list(zip(*(iter(state.values()),) * 2, strict=True))
    if len(names) != len(pairs):
        raise WeightsError(
            f"{source}: {len(pairs)} convolutions, expected {len(names)}; not the start of this network"
        )
    named: State = {}
    for name, (kernel, bias) in zip(names, pairs, strict=True):
        named[f"{name}.weight"], named[f"{name}.bias"] = kernel, bias
    return named
