"""ONNX files that were changed at random: each is converted rightly or ends in one line, and none takes long.

    python -m tests.benchmarks.mutated_onnx --count 435

Small networks of the usual parts (convolutions of all kinds, norms, gates, pools, enlarging, shuffles, attention) are
changed in one or two places, seeded: attributes, shapes, names, order, operators, types, versions, the weights' bytes.
The exit code is 1 where anything ended otherwise.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.graph.from_onnx import from_onnx
from export.graph.tidy.read import read_onnx
from rpi_runtime.errors import PiposeError
from rpi_runtime.model.card import InputSpec
from tests.export.graph.onnxgraphs import Graph

SIZE = (16, 24)
SLOW_S = 10.0
NUMBERS = (0, -1, 3, 7, 1 << 20, 1 << 31, 1 << 62, -(1 << 63))
KINDS = (
    "Conv", "Relu", "MatMul", "Foo", "Loop", "BatchNormalization", "Reshape", "Transpose", "Concat", "Resize",
    "Gather", "MaxPool", "ConvTranspose", "Softmax", "Slice", "Split", "Pad", "Einsum", "LSTM", "NonZero",
)  # fmt: skip


def convolutional() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    x = g.add("Conv", "image", g.normal(8, 3, 3, 3), g.normal(8), strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Relu", g.add("BatchNormalization", x, g.normal(8), g.normal(8), g.normal(8), g.positive(8)))
    y = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = g.add("ConvTranspose", y, g.normal(8, 8, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Concat", g.add("Clip", y, g.const(0.0), g.const(6.0)), x, axis=1)
    a, b = g.add("Split", x, axis=1, outputs=2)
    return g.model(g.add("Add", a, g.add("Mul", b, g.add("Sigmoid", g.add("GlobalAveragePool", b)))))


def shuffling() -> onnx.ModelProto:
    g = Graph(13, SIZE)
    x = g.add("Conv", g.map(8), g.normal(8, 1, 3, 3), group=8, pads=[1, 1, 1, 1])
    parts = g.add("Reshape", x, g.const([1, 2, 4, *SIZE], np.int64))
    x = g.add("Reshape", g.add("Transpose", parts, perm=[0, 2, 1, 3, 4]), g.const([1, 8, *SIZE], np.int64))
    up = g.add(
        "Resize", g.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), "", g.const([1.0, 1, 2, 2])
    )
    return g.model(g.add("Slice", g.add("Add", up, x), *(g.const([n], np.int64) for n in (1, 7, 1, 2))))


def attending() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    tokens = g.add("Transpose", g.add("Reshape", g.map(8), g.const([1, 8, -1], np.int64)), perm=[0, 2, 1])
    normed = g.add("LayerNormalization", tokens, g.normal(8), g.normal(8))
    scores = g.add("Softmax", g.add("MatMul", normed, g.add("Transpose", normed, perm=[0, 2, 1])), axis=-1)
    mixed = g.add(
        "Gemm", g.add("Squeeze", g.add("MatMul", scores, normed), g.const([0], np.int64)), g.normal(8, 4)
    )
    return g.model(g.add("ReduceMean", mixed, axes=[1]))


def change_attribute(model: Any, r: random.Random) -> None:
    node, attribute = r.choice([(n, a) for n in model.graph.node for a in n.attribute])
    if attribute.type == onnx.AttributeProto.INTS and len(attribute.ints):
        attribute.ints[r.randrange(len(attribute.ints))] = r.choice(NUMBERS)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = r.choice(NUMBERS)
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = r.choice((float("nan"), float("inf"), -1.0, 0.0))
    else:
        node.attribute.remove(attribute)


def add_attribute(model: Any, r: random.Random) -> None:
    name = r.choice(
        ("axis", "perm", "group", "pads", "strides", "auto_pad", "axes", "epsilon", "training_mode")
    )
    value = r.choice(([0, 0], [5], [-1, -1, -1, -1], 3, 0.5, "SAME_UPPER"))
    r.choice(model.graph.node).attribute.append(onnx.helper.make_attribute(name, value))


def change_shape(model: Any, r: random.Random) -> None:
    tensor = r.choice([t for t in model.graph.initializer if len(t.dims)])
    tensor.dims[r.randrange(len(tensor.dims))] = r.choice((0, -1, 1, 7, 1 << 40))


def change_image(model: Any, r: random.Random) -> None:
    r.choice(model.graph.input[0].type.tensor_type.shape.dim).dim_value = r.choice((0, -1, 5, 1 << 40))


def change_name(model: Any, r: random.Random) -> None:
    node = r.choice(model.graph.node)
    node.input[r.randrange(len(node.input))] = r.choice(("nothing", "", node.output[0]))


def drop_inputs(model: Any, r: random.Random) -> None:
    del r.choice(model.graph.node).input[1:]


def swap_inputs(model: Any, r: random.Random) -> None:
    node = r.choice(model.graph.node)
    names = list(node.input)
    r.shuffle(names)
    del node.input[:]
    node.input.extend(names)


def drop_node(model: Any, r: random.Random) -> None:
    model.graph.node.remove(r.choice(model.graph.node))


def repeat_node(model: Any, r: random.Random) -> None:
    model.graph.node.add().CopyFrom(r.choice(model.graph.node))


def move_node(model: Any, r: random.Random) -> None:
    model.graph.node.insert(0, model.graph.node.pop(r.randrange(len(model.graph.node))))


def share_output(model: Any, r: random.Random) -> None:
    r.choice(model.graph.node).output[0] = r.choice(model.graph.node).output[0]


def change_operator(model: Any, r: random.Random) -> None:
    r.choice(model.graph.node).op_type = r.choice(KINDS)


def change_type(model: Any, r: random.Random) -> None:
    r.choice(model.graph.initializer).data_type = r.choice((1, 2, 3, 6, 7, 8, 9, 10, 11, 14, 16, 20, 99))


def cut_weights(model: Any, r: random.Random) -> None:
    tensor = r.choice(model.graph.initializer)
    tensor.raw_data = tensor.raw_data[: r.randrange(1 + len(tensor.raw_data))]


def spoil_weights(model: Any, r: random.Random) -> None:
    tensor = r.choice([t for t in model.graph.initializer if t.raw_data])
    data = bytearray(tensor.raw_data)
    data[r.randrange(len(data))] ^= 1 << r.randrange(8)
    tensor.raw_data = bytes(data)


def change_version(model: Any, r: random.Random) -> None:
    model.opset_import[0].version = r.choice((0, 1, 6, 7, 9, 11, 13, 18, 21, 25, 99, -5))


BASES: tuple[Callable[[], onnx.ModelProto], ...] = (convolutional, shuffling, attending)
CHANGES: tuple[Callable[[Any, random.Random], None], ...] = (
    change_attribute, change_attribute, add_attribute, change_shape, change_image, change_name, drop_inputs,
    swap_inputs, drop_node, repeat_node, move_node, share_output, change_operator, change_type, cut_weights,
    spoil_weights, change_version,
)  # fmt: skip


def outcome(path: Path, outputs: list[str]) -> str:
    """How the conversion of a file ends."""
    try:
        model, _ = read_onnx(path)
        from_onnx(model, str(path), InputSpec(width=SIZE[1], height=SIZE[0]), outputs)
    except PiposeError as err:
        return f"one line, exit code {err.exit_code}" if "\n" not in str(err) else "SEVERAL LINES"
    except Exception as err:  # what the benchmark looks for
        return f"TRACEBACK {type(err).__name__}"
    return "converted"


def main() -> int:
    """Count what becomes of changed files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=435, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    args = parser.parse_args()
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.onnx"
        for seed in range(args.seed, args.seed + args.count):
            r = random.Random(seed)
            model = r.choice(BASES)()
            outputs = [o.name for o in model.graph.output]
            changes = r.sample(CHANGES, r.choice((1, 1, 2)))
            for change in changes:
                if len(model.graph.node) and len(model.graph.initializer):
                    change(model, r)
            path.write_bytes(model.SerializeToString())
            start = time.process_time()
            result = outcome(path, outputs)
            found[result] += 1
            if result[0].isupper() or time.process_time() - start > SLOW_S:
                print(seed, [c.__name__ for c in changes], result, f"{time.process_time() - start:.1f} s")
                found["SLOW"] += time.process_time() - start > SLOW_S
    for result, count in found.most_common():
        print(f"{count:5}  {result}")
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB, child "
          f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB")  # fmt: skip
    return int(any(result[0].isupper() and count for result, count in found.items()))


if __name__ == "__main__":
    sys.exit(main())
