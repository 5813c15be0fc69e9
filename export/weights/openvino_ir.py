"""Read OpenVINO's intermediate representation (.xml graph, .bin values): versions 10 and 11, FP32, FP16, FP16-INT8.

Constants are folded with NumPy. What is left, convolutions and what lies between them, can be listed (to take the
weights), and run by `export.weights.openvino_run` (to prove that they were taken rightly). Fake quantization of
activations is left out: what comes back is the float network. Specification: OpenVINO's documentation of opset1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml.common import DefusedXmlException
from numpy.typing import NDArray

from rpi_runtime.errors import WeightsError, first_line
from rpi_runtime.inputs import read_input

OTHERWISE = (
    "give the file without preprocessing built in, as Open Model Zoo publishes it, or export the network as ONNX and "
    "give it by --onnx with a --card"
)
DTYPES = {
    "f32": np.float32,
    "f16": np.float16,
    "i8": np.int8,
    "u8": np.uint8,
    "i32": np.int32,
    "i64": np.int64,
}
CONVOLUTIONS = ("Convolution", "GroupConvolution")
FOLDED: dict[str, Any] = {"Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply}
Constant = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One operation: `inputs` are layer ids in port order."""

    id: str
    name: str
    type: str
    attributes: dict[str, str]
    inputs: tuple[str, ...]


class IrGraph:
    """An IR file pair in memory.

    Parameters
    ----------
    xml : path
        The .bin lies beside it under the same name.

    Raises
    ------
    WeightsError
        A file is missing, is not an IR, or the .bin is shorter than the .xml says.
    """

    def __init__(self, xml: Path) -> None:
        self.path = xml
        self._values = self._read_values(xml.with_suffix(".bin"))
        root = self._read_xml(xml)
        self.constants: dict[str, Constant] = {}
        with malformed(xml):
            self.layers = _ordered(self._layers(root), xml)
            for layer in self.layers.values():
                self._fold(layer)

    def convolutions(self) -> list[Layer]:
        """Return all convolutions in topological order."""
        return [layer for layer in self.layers.values() if layer.type in CONVOLUTIONS]

    def kernel(self, conv: Layer) -> NDArray[np.float32]:
        """Return (O, I, kh, kw) weights of a convolution, depthwise ones as (C, 1, kh, kw)."""
        weights = self.constants[conv.inputs[1]].astype(np.float32)
        return weights.reshape(-1, *weights.shape[-3:]) if conv.type == "GroupConvolution" else weights

    def bias(self, conv: Layer) -> NDArray[np.float32]:
        """Return the (O,) bias that the operation after a convolution adds; zeros without one."""
        for layer in self.layers.values():
            if layer.type == "Add" and conv.id in layer.inputs:
                other = next(i for i in layer.inputs if i != conv.id)
                if other in self.constants:
                    return self.constants[other].astype(np.float32).reshape(-1)
        return np.zeros(self.kernel(conv).shape[0], np.float32)

    def source(self, conv: Layer) -> str:
        """Return the id of the nearest convolution, sum, concatenation or parameter that a convolution reads."""
        layer = self.layers[conv.inputs[0]]
        while True:
            live = [i for i in layer.inputs if i not in self.constants]
            if len(live) != 1 or layer.type in CONVOLUTIONS:
                return layer.id
            layer = self.layers[live[0]]

    def _fold(self, layer: Layer) -> None:
        """Compute a layer whose inputs are all constant."""
        if layer.type == "Const":
            self.constants[layer.id] = self._constant(layer)
            return
        if not layer.inputs or any(i not in self.constants for i in layer.inputs):
            return
        args = [self.constants[i] for i in layer.inputs]
        if layer.type == "Convert":
            name = layer.attributes["destination_type"]
            if name not in DTYPES:
                raise WeightsError(f"{self.path}: {layer.name}: unknown type {name!r}")
            self.constants[layer.id] = args[0].astype(DTYPES[name])
        elif layer.type in FOLDED:
            # in float32: the f16 arithmetic of the file would round the weights once more
            self.constants[layer.id] = FOLDED[layer.type](
                args[0].astype(np.float32), args[1].astype(np.float32)
            )
        elif layer.type == "Reshape":
            self.constants[layer.id] = args[0].reshape([int(n) for n in args[1]])
        else:
            raise WeightsError(
                f"{self.path}: {layer.type} of constants ({layer.name}) is not supported; {OTHERWISE}"
            )

    def _constant(self, layer: Layer) -> Constant:
        attr = layer.attributes
        try:
            dtype = np.dtype(DTYPES[attr["element_type"]])
            offset, size, shape = int(attr["offset"]), int(attr["size"]), ints(attr["shape"])
        except (KeyError, ValueError) as err:
            raise WeightsError(f"{self.path}: constant {layer.name!r}: unreadable attribute {err}") from err
        count = math.prod(shape)
        if (
            offset < 0
            or any(n < 0 for n in shape)
            or size != count * dtype.itemsize
            or offset + size > len(self._values)
        ):
            raise WeightsError(
                f"{self.path.with_suffix('.bin')}: {layer.name!r} needs bytes {offset} to {offset + size}, the file "
                f"has {len(self._values)}; it was truncated or belongs to another .xml: fetch both again"
            )
        return np.frombuffer(self._values, dtype, count, offset).reshape(shape)

    def _layers(self, root: Element) -> dict[str, Layer]:
        ports: dict[str, list[tuple[int, str]]] = {}
        for edge in root.iterfind("edges/edge"):
            to, port, source = (edge.get(k, "") for k in ("to-layer", "to-port", "from-layer"))
            ports.setdefault(to, []).append((int(port), source))
        layers = {}
        for element in root.iterfind("layers/layer"):
            data = element.find("data")
            layer_id = element.get("id", "")
            layers[layer_id] = Layer(
                id=layer_id,
                name=element.get("name", ""),
                type=element.get("type", ""),
                attributes={} if data is None else dict(data.attrib),
                inputs=tuple(source for _, source in sorted(ports.get(layer_id, []))),
            )
        return layers

    def _read_xml(self, xml: Path) -> Element:
        try:
            root: Element = defusedxml.ElementTree.fromstring(read_input(xml))
        except OSError as err:
            raise WeightsError(f"{xml}: cannot be read ({err.strerror})") from err
        except (ParseError, DefusedXmlException, ValueError) as err:
            raise WeightsError(f"{xml}: not a readable OpenVINO graph ({err}); fetch it again") from err
        if root.tag != "net" or root.get("version") not in ("10", "11"):
            found = f"<{root.tag} version={root.get('version')!r}>"
            raise WeightsError(f"{xml}: expected an OpenVINO IR of version 10 or 11, got {found}")
        return root

    @staticmethod
    def _read_values(path: Path) -> bytes:
        try:
            return read_input(path)
        except OSError as err:
            raise WeightsError(
                f"{path}: cannot be read ({err.strerror}); an OpenVINO model is two files, .xml and .bin, side by side"
            ) from err


@contextmanager
def malformed(path: Path) -> Iterator[None]:
    """Turn what a graph with attributes, inputs or shapes that do not fit each other raises into a `WeightsError`."""
    try:
        yield
    except (KeyError, IndexError, ValueError, RuntimeError, ArithmeticError) as err:
        raise WeightsError(
            f"{path}: its operations do not fit each other ({type(err).__name__}: {first_line(err)}); fetch it again"
        ) from err


def ints(text: str) -> list[int]:
    """Return the numbers of an attribute such as ``1,2``."""
    return [int(n) for n in text.split(",") if n.strip()]


def _ordered(layers: dict[str, Layer], path: Path) -> dict[str, Layer]:
    """Sort topologically: layer by layer of depth, the file's order within each (Kahn 1962), in linear time."""
    readers: dict[str, list[str]] = {}
    missing = {}
    for layer in layers.values():
        sources = set(layer.inputs)
        missing[layer.id] = len(sources)
        for source in sources:
            readers.setdefault(source, []).append(layer.id)
    place = {name: number for number, name in enumerate(layers)}
    done: dict[str, Layer] = {}
    ready = [name for name, count in missing.items() if count == 0]
    while ready:
        done.update((name, layers[name]) for name in ready)
        found = []
        for name in ready:
            for reader in readers.get(name, ()):
                missing[reader] -= 1
                if missing[reader] == 0:
                    found.append(reader)
        ready = sorted(found, key=place.__getitem__)
    if len(done) < len(layers):
        first = next(layer for name, layer in layers.items() if name not in done)
        raise WeightsError(f"{path}: layer {first.name!r} reads a layer that does not exist, or a cycle")
    return done
