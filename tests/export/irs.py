"""Write OpenVINO intermediate representations: small ones by hand, and a published one in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from export.weights.openvino_ir import IrGraph

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


def as_float32(source: IrGraph, folder: Path) -> Path:
    """Rewrite a published FP16-INT8 graph the way its FP32 form was published later.

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
