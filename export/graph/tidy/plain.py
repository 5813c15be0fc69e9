"""The form that is converted: the nodes that depend on the image, in order, and every constant that they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph.node import Node
from export.graph.tidy.branches import inline_branches
from export.graph.tidy.cut import cut_to_outputs, drop_unused, fix_input
from export.graph.tidy.precision import to_float32
from export.graph.tidy.refusals import refuse_unfit
from export.graph.tidy.sequences import split_sequences
from export.graph.tidy.trace import Trace, trace
from rpi_runtime.errors import InputError

NESTED = 8  # largest number of rounds of inlining: an `If` may hold another `If`


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainGraph:
    """A tidy network.

    Attributes
    ----------
    model : onnx.ModelProto
        The cut graph of fixed size in its own types. ONNX Runtime runs it for comparisons.
    nodes : list of Node
    constants : dict
    image : str
        Name of the input.
    size : (height, width)
    outputs : tuple of str
    opset : int
    half : bool
        Whether the file computes in half or double precision, and ONNX Runtime can.
    whole : bool
        Whether the file takes whole numbers as its image.
    """

    model: onnx.ModelProto
    nodes: list[Node]
    constants: dict[str, NDArray[Any]]
    image: str
    size: tuple[int, int]
    outputs: tuple[str, ...]
    opset: int
    half: bool
    whole: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs and of every other value."""
        return self.nodes[0].shapes if self.nodes else {}


def tidy(model: onnx.ModelProto, width: int, height: int, outputs: Sequence[str], path: str) -> PlainGraph:
    """Bring a model to the form that is converted; the model is changed in place.

    Parameters
    ----------
    model : onnx.ModelProto
    width, height : int
        Size of the image.
    outputs : sequence of str
        Names of the values at which the graph ends; they may lie inside it.
    path : str
        Name of the file in messages.

    Raises
    ------
    InputError
        The file cannot be converted.
    """
    cut_to_outputs(model, outputs, path)
    image, whole = fix_input(model, width, height, path)
    refuse_unfit(model, path)
    _name_nodes(model.graph)
    own = onnx.ModelProto()
    own.CopyFrom(model)
    if whole:  # from here on the picture's values are floats that happen to be whole
        del model.graph.node[0].attribute[:]
        model.graph.node[0].op_type = "Identity"
    half = to_float32(model)
    try:
        seen = trace(model, path)
    except InputError as err:
        if whole and _runs(own):
            raise InputError(
                f"{path}: computes with the whole numbers of its image before they are floats; export it with the "
                "conversion to float first"
            ) from err
        raise
    if half and not _runs(own):
        own, half = onnx.ModelProto(), False
        own.CopyFrom(model)
    for _ in range(NESTED):
        if not inline_branches(model, seen) + split_sequences(model, seen):
            break
        refuse_unfit(model, path)
        seen = trace(model, path)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer} | seen.constants
    for name, value in constants.items():
        seen.shapes[name], seen.dtypes[name] = value.shape, value.dtype
    drop_unused(model.graph)
    nodes = [_node(node, seen) for node in _computed(model.graph, constants)]
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return PlainGraph(
        model=own, nodes=nodes, constants=constants, image=image, size=(height, width), outputs=tuple(outputs),
        opset=int(opset), half=half, whole=whole,
    )  # fmt: skip


def _runs(model: onnx.ModelProto) -> bool:
    """Whether ONNX Runtime has every operator in the file's own precision."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime's exceptions have no common base class
        return False
    return True


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a unique name: names are optional, and ONNX Runtime refuses two equal ones."""
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}.{index}"
        taken.add(node.name)


def _computed(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    """Return the nodes between the image and the outputs, without those whose results are constants."""
    wanted = {o.name for o in graph.output} - constants.keys()
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(name for name in node.input if name not in constants)
    return kept[::-1]


def _node(node: onnx.NodeProto, seen: Trace) -> Node:
    return Node(
        kind=node.op_type,
        name=node.name,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={a.name: _value(a) for a in node.attribute},
        shapes=seen.shapes,
        dtypes=seen.dtypes,
    )


def _value(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return tuple(value) if isinstance(value, list) else value
