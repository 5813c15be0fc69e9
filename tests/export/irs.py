"""Write OpenVINO intermediate representations: small ones by hand, a whole network, and that in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.weights.openvino_ir import IrGraph
from export.zoo.lw_openpose.module import LwOpenPose

TYPES = {"float32": "f32", "float16": "f16", "int8": "i8", "uint8": "u8", "int32": "i32", "int64": "i64"}


class IrWriter:
    """Layers in the order in which they are added; each call returns the layer's id."""

    def __init__(self, version: str = "11") -> None:
        self.version = version
        self.layers: list[str] = []
        self.edges: list[str] = []
        self.values = b""

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: object) -> str:
        layer_id = str(len(self.layers))
        pairs = " ".join(f"{k}={quoteattr(str(v))}" for k, v in attributes.items())
        data = f"<data {pairs}/>" if attributes else ""
        title = quoteattr(name or f"layer{layer_id}")
        self.layers.append(
            f'<layer id="{layer_id}" name={title} type="{kind}" version="opset1">{data}</layer>'
        )
        for port, source in enumerate(inputs):
            self.edges.append(
                f'<edge from-layer="{source}" from-port="9" to-layer="{layer_id}" to-port="{port}"/>'
            )
        return layer_id

    def const(self, value: NDArray[Any], name: str = "", **changes: object) -> str:
        raw = np.ascontiguousarray(value).tobytes()
        attributes: dict[str, object] = {
            "element_type": TYPES[value.dtype.name],
            "shape": ", ".join(map(str, value.shape)),
            "offset": len(self.values),
            "size": len(raw),
        }
        self.values += raw
        return self.add("Const", name=name, **(attributes | changes))

    def conv(
        self, data: str, kernel: str, *, stride: int = 1, pad: int = 1, kind: str = "Convolution"
    ) -> str:
        pads = f"{pad},{pad}"
        return self.add(
            kind, data, kernel, strides=f"{stride},{stride}", dilations="1,1", pads_begin=pads, pads_end=pads
        )

    def write(self, folder: Path, name: str = "net", head: str = "") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        xml = folder / f"{name}.xml"
        xml.write_text(
            f'<?xml version="1.0"?>{head}\n<net name="net" version="{self.version}">\n<layers>'
            + "\n".join(self.layers)
            + "</layers>\n<edges>"
            + "\n".join(self.edges)
            + "</edges>\n</net>"
        )
        xml.with_suffix(".bin").write_bytes(self.values)
        return xml


def write_lw_openpose(net: LwOpenPose, folder: Path) -> Path:
    """Write a network of the ``omz`` form as Open Model Zoo publishes it, FP16-INT8.

    Kernels are int8 with a scale for each output channel, biases float16, what a convolution reads passes through a
    FakeQuantize, and the graph begins with the normalisation of pixel values.
    """
    writer = IrWriter("10")
    image = writer.add("Parameter", shape="1,3,256,456", element_type="f32")
    scaled = writer.add("Multiply", image, _half(writer, 1 / 255))
    last = writer.add("Add", scaled, _half(writer, -128 / 255))
    for unit in net.model:
        last = _sequence(writer, unit, last)
    entry = _sequence(writer, net.cpm.align, last)
    inner = _sequence(writer, net.cpm.trunk, _sequence(writer, net.cpm.reduce, entry))
    features = _sequence(writer, net.cpm.conv, writer.add("Add", entry, inner))
    first = _sequence(writer, net.initial_stage.trunk, features)
    heads = [_sequence(writer, head, first) for head in (net.initial_stage.pafs, net.initial_stage.heatmaps)]
    (stage,) = net.refinement_stages
    last = writer.add("Concat", *heads, features, axis=1)
    for block in stage.trunk:
        begin = _sequence(writer, block.initial, last)
        last = writer.add("Add", begin, _sequence(writer, block.trunk, begin))
    for head in (stage.pafs, stage.heatmaps):
        writer.add("Result", _sequence(writer, head, last))
    return writer.write(folder, "network")


def _half(writer: IrWriter, value: float) -> str:
    stored = writer.const(np.full((1, 1, 1, 1), value, np.float16))
    return writer.add("Convert", stored, destination_type="f32")


def _sequence(writer: IrWriter, module: nn.Module, data: str) -> str:
    """Write convolutions and activations in a row; return the last layer's id."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            data = _convolution(writer, layer, data)
        elif isinstance(layer, nn.ReLU):
            data = writer.add("ReLU", data)
        elif isinstance(layer, nn.ELU):
            data = writer.add("Elu", data, alpha=1.0)
    return data


def _convolution(writer: IrWriter, layer: nn.Conv2d, data: str) -> str:
    kernel = layer.weight.detach().numpy()
    axes = tuple(range(1, kernel.ndim))
    scale = (np.abs(kernel).max(axes, keepdims=True) / 127 + 1e-4).astype(np.float16)
    stored = np.rint(kernel / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
    grouped = layer.groups > 1
    if grouped:
        stored, scale = stored[:, None], scale[:, None]  # (C, 1, kh, kw) -> (C, 1, 1, kh, kw)
    wide = writer.add("Convert", writer.const(stored), destination_type="f16")
    shifted = writer.add("Subtract", wide, writer.const(np.zeros_like(scale)))
    weights = writer.add("Multiply", shifted, writer.const(scale))
    ends = [writer.const(np.float32([end])) for end in (-8, 8, -8, 8)]
    seen = writer.add("FakeQuantize", data, *ends, levels=256)
    pads, stride, dilation = (",".join(map(str, v)) for v in (layer.padding, layer.stride, layer.dilation))
    made = writer.add(
        "GroupConvolution" if grouped else "Convolution",
        seen, weights, strides=stride, dilations=dilation, pads_begin=pads, pads_end=pads,
    )  # fmt: skip
    assert layer.bias is not None
    bias = writer.const(layer.bias.detach().numpy().astype(np.float16).reshape(1, -1, 1, 1))
    return writer.add("Add", made, writer.add("Convert", bias, destination_type="f32"))


def as_float32(source: IrGraph, folder: Path) -> Path:
    """Rewrite a graph in the published FP16-INT8 form the way the FP32 form was published later.

    Constants are folded to f32, activations are not quantized, mean and scale are an Add and a Multiply in f32, layers
    have other names, and of each pair of heads the one that stood first stands last.
    """
    writer, ids = IrWriter("11"), {}

    def resolve(layer_id: str) -> str:
        layer = source.layers[layer_id]
        while layer.type in ("FakeQuantize", "Convert") and layer.id not in source.constants:
            layer = source.layers[layer.inputs[0]]
        return layer.id

    def emit(layer_id: str) -> str:
        layer_id = resolve(layer_id)
        if layer_id not in ids:
            if layer_id in source.constants:
                value = source.constants[layer_id]
                ids[layer_id] = writer.const(value.astype(np.float32) if value.dtype.kind == "f" else value)
            else:
                layer = source.layers[layer_id]
                # the second of two branches first: what the heads' order rests on must not be the file's order
                order = sorted(range(len(layer.inputs)), reverse=layer.type == "Concat")
                inputs = {i: emit(layer.inputs[i]) for i in order}
                ids[layer_id] = writer.add(
                    layer.type,
                    *(inputs[i] for i in range(len(layer.inputs))),
                    name=f"other/{len(writer.layers)}",
                    **layer.attributes,
                )
        return ids[layer_id]

    for result in reversed([layer for layer in source.layers.values() if layer.type == "Result"]):
        emit(result.id)
    return writer.write(folder)


def layer_types(xml: Path) -> set[str]:
    """The types of the layers in a file."""
    return {e.get("type", "") for e in ElementTree.parse(xml).iterfind("layers/layer")}
