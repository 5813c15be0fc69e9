"""Any pose network in ONNX, in the plain form that the later steps work on.

Plain form: static shapes, batch 1, one float input ``image`` (1, 3, H, W), named outputs, no Identity, batch norm
folded into its convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from rpi_runtime.errors import InputError

OPSET = 17
FOLDING = ("Conv", "ConvTranspose")  # what batch norm is folded into
Array = NDArray[np.float32]


class OnnxGraph:
    """An ONNX model with its constants as arrays, easy to walk and to change in place."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants: dict[str, NDArray[Any]] = {
            i.name: numpy_helper.to_array(i) for i in model.graph.initializer
        }

    @property
    def nodes(self) -> list[Any]:
        """The nodes in topological order."""
        return list(self.model.graph.node)

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [o.name for o in self.model.graph.output]

    def consumers(self) -> dict[str, list[Any]]:
        """Nodes by the name of a value that they read."""
        found: dict[str, list[Any]] = {}
        for node in self.model.graph.node:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    def replace_constant(self, name: str, value: NDArray[Any]) -> None:
        """Change a constant's values, and its shape where they differ in it."""
        value = np.ascontiguousarray(value)
        self.constants[name] = value
        for tensor in self.model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(value, name))
                return
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))

    def replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Put nodes in the place of the last of `old`, in order; what reads `old` must find its outputs in `new`."""
        nodes = self.model.graph.node
        gone = {n.name for n in old}
        place = max(i for i, n in enumerate(nodes) if n.name in gone)
        kept = list(nodes)
        result = [n for n in kept[:place] if n.name not in gone] + list(new) + kept[place + 1 :]
        del nodes[:]
        nodes.extend(result)

    def drop_unused(self) -> None:
        """Remove nodes whose results nothing reads."""
        used = set(self.outputs)
        kept = []
        for node in reversed(self.model.graph.node):
            if used.intersection(node.output):
                used.update(node.input)
                kept.append(node)
        del self.model.graph.node[:]
        self.model.graph.node.extend(reversed(kept))

    def copy(self) -> OnnxGraph:
        """Return an independent copy."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return OnnxGraph(model)


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return a node's attribute, or the default that ONNX gives it."""
    for item in node.attribute:
        if item.name == name:
            return onnx.helper.get_attribute_value(item)
    return default


def from_file(path: str, width: int, height: int, outputs: Sequence[str]) -> OnnxGraph:
    """Read a user's ONNX file; it is not changed.

    Parameters
    ----------
    path : str
    width, height : int
        Size that dynamic or static input axes must take.
    outputs : sequence of str
        Outputs that the card names; others are cut off.

    Raises
    ------
    InputError
        No ONNX file, external data, another input than (1, 3, H, W) float, or outputs that are not there.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise InputError(f"{path}: not a readable ONNX file ({reason})") from err
    _fix_input(model, path, width, height)
    names = [o.name for o in model.graph.output]
    missing = [o for o in outputs if o not in names]
    if missing:
        raise InputError(
            f"{path}: no output {', '.join(missing)}; it has {', '.join(names)}: correct the card"
        )
    for output in [o for o in model.graph.output if o.name not in outputs]:
        model.graph.output.remove(output)
    graph = tidy(model)
    _infer_shapes(graph, path)
    _check_runs(graph, (1, 3, height, width), path)
    return graph


def _fix_input(model: onnx.ModelProto, path: str, width: int, height: int) -> None:
    """Pin the one image input to (1, 3, height, width) and call it ``image``."""
    constants = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise InputError(
            f"{path}: expected one float input, an image; it has {', '.join(i.name for i in inputs)}"
        )
    dims = inputs[0].type.tensor_type.shape.dim
    if len(dims) != 4:
        raise InputError(f"{path}: input {inputs[0].name} has {len(dims)} axes, expected (1, 3, H, W)")
    for dim, want in zip(dims, (1, 3, height, width), strict=True):
        if dim.HasField("dim_value") and dim.dim_value not in (0, want):
            have = [d.dim_value or d.dim_param for d in dims]
            raise InputError(
                f"{path}: input {have}, expected [1, 3, {height}, {width}]: give the size it was made for"
            )
        dim.dim_value = want
    old = inputs[0].name
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = "image"
    inputs[0].name = "image"


def _infer_shapes(graph: OnnxGraph, path: str) -> None:
    del graph.model.graph.value_info[:]
    for output in graph.model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        graph.model.CopyFrom(onnx.shape_inference.infer_shapes(graph.model, strict_mode=True))
    except onnx.shape_inference.InferenceError as err:
        raise InputError(
            f"{path}: its shapes do not fit this input size ({str(err).splitlines()[0]})"
        ) from err


def _check_runs(graph: OnnxGraph, shape: tuple[int, ...], path: str) -> None:
    try:
        values = run(graph, np.zeros(shape, np.float32))
    except Exception as err:  # ONNX Runtime's own exceptions have no common base of their own
        raise InputError(
            f"{path}: ONNX Runtime cannot run it ({str(err).splitlines()[0]}); export it again with opset {OPSET}"
        ) from err
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(
                f"{path}: output {name} of an empty image is not finite; its weights hold NaN or overflow"
            )


def tidy(model: onnx.ModelProto) -> OnnxGraph:
    """Bring a graph to the plain form."""
    _name_nodes(model)
    _lift_constants(model)
    graph = OnnxGraph(model)
    _drop_identities(graph)
    _fold_batch_norms(graph)
    return graph


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own: they are optional in ONNX, and the later steps find nodes by them."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}.{index}"
        taken.add(node.name)


def _lift_constants(model: onnx.ModelProto) -> None:
    """Turn Constant nodes that hold a tensor into initializers, where the later steps look for weights."""
    for node in [n for n in model.graph.node if n.op_type == "Constant"]:
        value = attribute(node, "value", None)
        if value is not None and node.output[0] not in {o.name for o in model.graph.output}:
            model.graph.initializer.append(
                numpy_helper.from_array(numpy_helper.to_array(value), node.output[0])
            )
            model.graph.node.remove(node)


def _drop_identities(graph: OnnxGraph) -> None:
    """Give every reader of an Identity its input; constants get copies, so that each can change alone."""
    nodes = graph.model.graph.node
    outputs = set(graph.outputs)
    for node in [n for n in nodes if n.op_type == "Identity" and n.output[0] not in outputs]:
        if node.input[0] in graph.constants:
            graph.replace_constant(node.output[0], graph.constants[node.input[0]].copy())
        else:
            for reader in nodes:
                for index, name in enumerate(reader.input):
                    if name == node.output[0]:
                        reader.input[index] = node.input[0]
        nodes.remove(node)


def _fold_batch_norms(graph: OnnxGraph) -> None:
    """Fold ``gamma * (x - mean) / sqrt(var + eps) + beta`` into the convolution that alone feeds it."""
    consumers = graph.consumers()
    producers = {out: n for n in graph.nodes for out in n.output}
    for norm in [n for n in graph.nodes if n.op_type == "BatchNormalization"]:
        conv = producers.get(norm.input[0])
        if conv is None or conv.op_type not in FOLDING or not _folds(graph, conv, norm, consumers):
            continue
        gamma, beta, mean, var = (graph.constants[n].astype(np.float64) for n in norm.input[1:5])
        factor = gamma / np.sqrt(var + attribute(norm, "epsilon", 1e-5))
        kernel = graph.constants[conv.input[1]].astype(np.float64)
        bias = graph.constants[conv.input[2]].astype(np.float64) if any(conv.input[2:]) else 0.0
        weight_name, bias_name = f"{conv.name}.folded.weight", f"{conv.name}.folded.bias"
        graph.replace_constant(weight_name, _scaled_outputs(conv, kernel, factor).astype(np.float32))
        graph.replace_constant(bias_name, ((bias - mean) * factor + beta).astype(np.float32))
        data, output = conv.input[0], norm.output[0]
        del conv.input[:]
        conv.input.extend([data, weight_name, bias_name])
        conv.output[0] = output
        graph.model.graph.node.remove(norm)


def _scaled_outputs(
    conv: Any, kernel: NDArray[np.float64], factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply a kernel's output channels, which a transposed convolution has on its second axis, group by group."""
    if conv.op_type == "Conv":
        return np.asarray(kernel * factor[:, None, None, None])
    group = attribute(conv, "group", 1)
    each = factor.reshape(group, 1, -1, 1, 1)  # (group, inputs of a group, outputs of a group, kh, kw)
    return np.asarray((kernel.reshape(group, -1, *kernel.shape[1:]) * each).reshape(kernel.shape))


def _folds(graph: OnnxGraph, conv: Any, norm: Any, consumers: dict[str, list[Any]]) -> bool:
    """Whether nothing else reads a convolution's output, and the values of both are constants."""
    alone = len(consumers[conv.output[0]]) == 1 and conv.output[0] not in graph.outputs
    return alone and all(n in graph.constants for n in [*conv.input[1:], *norm.input[1:5]] if n)


def make_session(graph: OnnxGraph) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session of the graph on the processor."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = graph.model.SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(graph: OnnxGraph, image: Array) -> dict[str, Array]:
    """Run a graph on one (1, 3, H, W) image; outputs by name."""
    values = make_session(graph).run(graph.outputs, {"image": image})
    return dict(zip(graph.outputs, values, strict=True))
