"""Convert a PyTorch network to a float model, normalisation included, and compare it with the published network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph.float_model import FloatModel, normalise
from export.graph.from_onnx import from_onnx
from export.graph.normalisation import prepend_normalisation
from export.graph.parity import compare
from export.zoo.inputs import is_plain
from quant.tflite.run import run_model
from rpi_runtime.model.card import InputSpec

OPSET = 17
Published = Callable[[Tensor], Sequence[Tensor]]


def build_from_torch(
    form: nn.Module, published: Published, outputs: Sequence[str], normalisation: InputSpec, spec: InputSpec
) -> FloatModel:
    """Export a network at one size.

    Parameters
    ----------
    form : nn.Module
        The module to export. It maps (1, 3, H, W), normalised, to one map per output.
    published : callable
        The published network, which returns the same maps; often `form` itself.
    outputs : sequence of str
        Names of the maps.
    normalisation : InputSpec
        Normalisation of the published network. One that an int8 input cannot express becomes part of the network.
    spec : InputSpec
        The input of the file that is made.
    """
    graph = to_onnx(form, spec.width, spec.height, outputs)
    inner = replace(normalisation, width=spec.width, height=spec.height)
    made = from_onnx(graph, "the network", inner, outputs)
    if not is_plain(normalisation):
        prepend_normalisation(made.model, normalisation)
    shape = (1, spec.height, spec.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float64)
    with torch.inference_mode():
        maps = published(torch.from_numpy(normalise(pixels, normalisation).transpose(0, 3, 1, 2)))
    expected = {name: _channels_last(value) for name, value in zip(outputs, maps, strict=True)}
    parities = compare("torch -> tflite", expected, run_model(made.model, normalise(pixels, spec)))
    return replace(made, parities=(*made.parities, *parities))


def _channels_last(value: Tensor) -> NDArray[np.float32]:
    return np.asarray(value.numpy().transpose(0, 2, 3, 1), np.float32)


def to_topology(
    net: nn.Module, outputs: Sequence[str], width: int = 96, height: int = 64, *, shapes: bool = False
) -> str:
    """Return a network's graph without weights, as `export.graph.topology` reads it; its weights are overwritten.

    The text is valid for images of every size only if it is the same at two sizes. With `shapes`, the graph computes
    the shapes that depend on the size wherever a layer uses them.
    """
    generator = torch.Generator().manual_seed(0)
    # distinct values, because the exporter merges equal ones
    for value in (*net.parameters(), *net.buffers()):
        if value.is_floating_point():
            value.data = torch.rand(value.shape, generator=generator) + 0.5
    preserve = torch.onnx.TrainingMode.PRESERVE  # keep every parameter unchanged, under its key
    options: dict[str, Any] = {"training": preserve, "do_constant_folding": False}
    if shapes:
        options["dynamic_axes"] = {name: {2: "height", 3: "width"} for name in ("image", *outputs)}
    model = to_onnx(net.eval(), width, height, outputs, **options)
    if shapes:
        _shorten(model.graph)
    return _without_weights(model)


def _shorten(graph: onnx.GraphProto) -> None:
    """Number the values that compute shapes: there are hundreds, and no report names them."""
    of_shapes = ("Constant", "Shape", "Gather", "Unsqueeze", "Cast", "Div")
    names = {n.output[0]: "" for n in graph.node if n.op_type in of_shapes}
    names = {name: f"s{number}" for number, name in enumerate(names)}
    for node in graph.node:
        node.name = ""
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]


def _without_weights(model: onnx.ModelProto) -> str:
    graph = model.graph
    tensors = [onnx.helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in graph.initializer]
    del graph.initializer[:], graph.value_info[:]
    graph.input.extend(tensors)
    graph.name, model.producer_name, model.producer_version = "network", "", ""
    for value, names in ((graph.input[0], ("H", "W")), *((o, ("h", "w")) for o in graph.output)):
        for dim, name in zip(value.type.tensor_type.shape.dim[2:], names, strict=True):
            dim.dim_param = name
    for node in graph.node:
        node.doc_string = ""
    text = onnx.printer.to_text(model) + "\n"
    # the printer writes 1.0 as 1, which the parser takes for an integer
    return re.sub(r"(: float = -?\d+)(?=[,>])", r"\1.0", text)


def to_onnx(
    net: nn.Module, width: int, height: int, outputs: Sequence[str], **options: Any
) -> onnx.ModelProto:
    """Export a network at one size, in evaluation mode unless `options` say otherwise. Its input is ``image``."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        # the TorchScript exporter is deprecated; the newer one writes external data and needs onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, height, width),),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(outputs),
            **options,
        )
    return onnx.load_from_string(buffer.getvalue())
