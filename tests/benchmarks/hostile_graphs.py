"""Hostile networks: ONNX, OpenVINO with its .bin, safetensors with a header that lies; as the export reads them."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.hostile_changes import change_value, flip, text_of

One = Callable[[random.Random], None]


def onnx_graphs(folder: Path) -> One:
    """ONNX files changed in two of their parts, converted as the export does."""
    from tests.benchmarks.mutated_onnx import BASES, CHANGES

    sound = [base() for base in BASES]
    path = folder / "n.onnx"

    def one(rng: random.Random) -> None:
        base = rng.choice(sound)
        model = type(base)()
        model.CopyFrom(base)
        for change in rng.sample(CHANGES, 2):
            if len(model.graph.node) and len(model.graph.initializer):
                change(model, rng)
        path.write_bytes(model.SerializeToString())
        _convert(path, [o.name for o in base.graph.output])

    return one


def onnx_bytes(folder: Path) -> One:
    """ONNX files changed in their bytes, converted, or described as `export.describe` does, which knows no card."""
    from export.describe import describe
    from quant.cards.draft import as_text
    from tests.benchmarks.mutated_onnx import BASES

    sound = [
        (base.SerializeToString(), [o.name for o in base.graph.output]) for base in (make() for make in BASES)
    ]
    path = folder / "n.onnx"

    def one(rng: random.Random) -> None:
        data, outputs = rng.choice(sound)
        path.write_bytes(flip(rng, data))
        if rng.random() < 0.5:
            _convert(path, outputs)
        else:
            as_text(path.stem, describe(path))

    return one


def _convert(path: Path, outputs: list[str]) -> None:
    from export.graph.from_onnx import from_onnx
    from export.graph.tidy.read import read_onnx
    from rpi_runtime.model.card import InputSpec
    from tests.benchmarks.mutated_onnx import SIZE

    model, _ = read_onnx(path)
    from_onnx(model, str(path), InputSpec(width=SIZE[1], height=SIZE[0]), outputs)


def openvino(folder: Path) -> One:
    """OpenVINO graphs of which .xml and .bin are changed, read and run."""
    from export.weights.openvino_ir import IrGraph
    from export.weights.openvino_run import run_ir
    from tests.export.irs import IrWriter

    writer = IrWriter()
    image = writer.add("Parameter", shape="1,3,8,8", element_type="f32")
    kernel = writer.const(np.ones((4, 3, 3, 3), np.float32))
    writer.add("Result", writer.conv(image, kernel))
    xml = writer.write(folder)
    text, values = xml.read_bytes(), xml.with_suffix(".bin").read_bytes()
    path, picture = folder / "changed.xml", np.zeros((1, 3, 8, 8), np.float32)

    def one(rng: random.Random) -> None:
        words = text.replace(*_attribute(rng, text)) if rng.random() < 0.6 else flip(rng, text)
        path.write_bytes(words)
        path.with_suffix(".bin").write_bytes(
            flip(rng, values) if rng.random() < 0.5 else values[: rng.randrange(500)]
        )
        run_ir(IrGraph(path), picture)

    return one


def _attribute(rng: random.Random, text: bytes) -> tuple[bytes, bytes]:
    """A number of the graph, and what stands there instead."""
    import re

    found = rng.choice(re.findall(rb'="[-\d,]+"', text))
    value = rng.choice((b"0", b"-1", b"99999999999", b"1,1,1,1,1,1,1", b"", b"nan", b"2147483648", b"1e9"))
    return found, b'="' + value + b'"'


def safetensors(folder: Path) -> One:
    """Files whose header says what is not so: places, shapes, types, a length without end."""
    from export.weights.find import find_weights

    values = np.arange(12, dtype=np.float32).tobytes()
    header = {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
        "a.bias": {"dtype": "F16", "shape": [12], "data_offsets": [24, 48]},
    }
    path = folder / "w.safetensors"

    def one(rng: random.Random) -> None:
        text = text_of(rng, header) if rng.random() < 0.9 else json.dumps(change_value(rng, header)).encode()
        length = rng.choice((len(text), len(text), len(text), 0, 2**63, len(text) + rng.randrange(100)))
        path.write_bytes(struct.pack("<Q", length) + text + values[: rng.choice((48, 48, 47, 0))])
        find_weights(str(path), {})

    return one


GRAPHS: dict[str, Callable[[Path], One]] = {
    "onnx": onnx_graphs, "onnx-bytes": onnx_bytes, "openvino": openvino, "safetensors": safetensors,
}  # fmt: skip
