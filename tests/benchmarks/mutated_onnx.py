"""ONNX files that were changed at random: each is converted rightly or ends in one line, and none takes much.

    python -m tests.benchmarks.mutated_onnx --count 435

Five small networks of the usual parts (convolutions of all kinds, norms, gates, pools, enlarging, shuffles, attention,
learned tokens, shapes that the graph computes, a detector's tail) are changed in one or two places, seeded: attributes,
shapes, names, order, operators, types, versions, the weights' bytes, weights that are missing or lie in other files,
loops, the file's own bytes. Each is converted in a process of its own: one that ends by a signal, takes more than 10 s
of processor time or 512 MiB beside what it began with is a fault as a traceback is. The exit code is 1 where there is
one; `--seed N --count 1` repeats it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
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
SLOW_S, MOST_MIB = 10.0, 512
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


def with_tokens() -> onnx.ModelProto:
    """Learned tokens beside those of the picture, GELU written out, an Einsum and copies."""
    g = Graph(14, SIZE)
    patches = g.add("Conv", "image", g.normal(8, 3, 4, 4, scale=0.1), g.normal(8), strides=[4, 4])
    tokens = g.add("Transpose", g.add("Reshape", patches, g.const([1, 8, -1], np.int64)), perm=[0, 2, 1])
    joined = g.add("Concat", g.add("Expand", g.normal(1, 1, 8), g.const([1, 3, 8], np.int64)), tokens, axis=1)
    wide = g.add("MatMul", joined, g.normal(8, 16, scale=0.2))
    half = g.add("Add", g.add("Erf", g.add("Div", wide, g.const(2**0.5))), g.const(1.0))
    narrow = g.add("MatMul", g.add("Mul", g.add("Mul", wide, half), g.const(0.5)), g.normal(16, 8, scale=0.2))
    mixed = g.add("Einsum", narrow, narrow, equation="bnc,bmc->bnm")
    kept = g.add(
        "Slice",
        g.add("Tile", mixed, g.const([1, 1, 2], np.int64)),
        *(g.const([n], np.int64) for n in (0, 3, 1)),
    )
    return g.model(kept)


def detecting() -> onnx.ModelProto:
    """Shapes that the graph computes, a pyramid, and boxes that are decoded from bins."""
    g = Graph(18, SIZE)
    fine = g.add(
        "Conv", "image", g.normal(8, 3, 3, 3, scale=0.3), g.normal(8), strides=[2, 2], pads=[1, 1, 1, 1]
    )
    coarse = g.add("MaxPool", g.add("LeakyRelu", fine, alpha=0.1), kernel_shape=[2, 2], strides=[2, 2])
    size = g.add("Slice", g.add("Shape", fine), *(g.const([n], np.int64) for n in (2, 4, 0)))
    whole = g.add("Concat", g.const([1, 8], np.int64), size, axis=0)
    up = g.add("Resize", coarse, "", "", whole, mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor")  # fmt: skip
    summed = g.add("Add", fine, g.add("Pad", up, g.const([0] * 8, np.int64)))
    bins = g.add("Reshape", g.add("Conv", summed, g.normal(16, 8, 1, 1)), g.const([1, 4, 4, -1], np.int64))
    spread = g.add("Softmax", g.add("Transpose", bins, perm=[0, 2, 1, 3]), axis=1)
    distances = g.add(
        "Squeeze", g.add("Conv", spread, g.const(np.arange(4.0).reshape(1, 4, 1, 1))), g.const([1], np.int64)
    )
    places = g.add("Sub", g.normal(1, 4, 96), distances)
    low = g.add(
        "ReduceMin", g.add("Where", g.const(np.arange(96) > 3), places, g.const(0.0)), g.const([1], np.int64)
    )
    return g.model(g.add("Gather", low, g.const([0, 5, 5, -1], np.int64), axis=2))


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


def drop_weights(model: Any, r: random.Random) -> None:
    model.graph.initializer.remove(r.choice(model.graph.initializer))


def move_weights(model: Any, r: random.Random) -> None:
    """Into another file, which is missing, a folder, a link, outside, or shorter than the tensor says."""
    tensor = r.choice(model.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    place = r.choice(
        ("weights.bin", "nothing.bin", "link.bin", "../weights.bin", "/etc/passwd", ".", "", "/dev/zero")
    )
    entries = {"location": place, "offset": r.choice(("0", "-1", "64", "x", str(1 << 62)))}
    entries["length"] = r.choice(("4", "-4", "256", "", str(1 << 62)))
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def add_loop(model: Any, r: random.Random) -> None:
    """A loop that never ends, or does nothing, behind one of the values."""
    node = r.choice(model.graph.node)
    name = node.output[0]
    node.output[0] = f"{name}/before"
    make, kind = onnx.helper.make_node, onnx.TensorProto
    value = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [make("Identity", ["go"], ["on"]), make("Identity", ["held"], ["kept"])],
        "body",
        [value("i", kind.INT64, []), value("go", kind.BOOL, []), value("held", kind.FLOAT, None)],
        [value("on", kind.BOOL, []), value("kept", kind.FLOAT, None)],
    )
    count = np.array(r.choice((0, 1, 1 << 40)), np.int64)
    model.graph.initializer.append(onnx.numpy_helper.from_array(count, "count"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "go first"))
    model.graph.node.append(make("Loop", ["count", "go first", node.output[0]], [name], body=body))


def change_version(model: Any, r: random.Random) -> None:
    model.opset_import[0].version = r.choice((0, 1, 6, 7, 9, 11, 13, 18, 21, 25, 99, -5))


BASES: tuple[Callable[[], onnx.ModelProto], ...] = (
    convolutional,
    shuffling,
    attending,
    with_tokens,
    detecting,
)
CHANGES: tuple[Callable[[Any, random.Random], None], ...] = (
    change_attribute, change_attribute, add_attribute, change_shape, change_image, change_name, drop_inputs,
    swap_inputs, drop_node, repeat_node, move_node, share_output, change_operator, change_type, cut_weights,
    spoil_weights, drop_weights, move_weights, add_loop, change_version,
)  # fmt: skip


def spoil_file(data: bytes, r: random.Random) -> bytes:
    """Cut the file's bytes, flip some, or put others in."""
    changed = bytearray(data)
    for _ in range(r.choice((1, 2, 8))):
        changed[r.randrange(len(changed))] = r.randrange(256)
    how, place = r.randrange(3), r.randrange(len(changed))
    if how == 0:
        return bytes(changed[:place])
    return bytes(changed if how == 1 else changed[:place] + changed[r.randrange(place + 1) :])


def outcome(path: Path, outputs: list[str]) -> str:
    """How the conversion of a file ends."""
    try:
        model, _ = read_onnx(path)
        from_onnx(model, str(path), InputSpec(width=SIZE[1], height=SIZE[0]), outputs)
    except PiposeError as err:
        return f"one line, exit code {err.exit_code}" if "\n" not in str(err) else "SEVERAL LINES"
    except Exception as err:  # what the benchmark looks for
        return f"TRACEBACK {type(err).__name__}: {str(err)[:200]}"
    return "converted"


def watched(path: Path, outputs: list[str]) -> str:
    """The same in a process of its own, with the limits of time and memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        result = outcome(path, outputs)
        inner = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        os.write(writer, f"{inner} {result}".encode())
        os._exit(0)
    os.close(writer)
    _, status, used = os.wait4(child, 0)
    inner, _, result = os.read(reader, 4096).decode().partition(" ")
    os.close(reader)
    if os.WIFSIGNALED(status) or not result:
        return f"CRASH {signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status}"
    seconds, mib = used.ru_utime + used.ru_stime, max(used.ru_maxrss - before, int(inner)) >> 10
    if seconds > SLOW_S or mib > MOST_MIB:
        return f"MUCH {seconds:.1f} s, {mib} MiB: {result}"
    return result


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
        path = Path(folder) / "inner" / "changed.onnx"
        path.parent.mkdir()
        (path.parent / "link.bin").symlink_to("/etc/passwd")
        for place in (path.parent, path.parent.parent):
            (place / "weights.bin").write_bytes(bytes(256))
        for seed in range(args.seed, args.seed + args.count):
            r = random.Random(seed)
            model = r.choice(BASES)()
            outputs = [o.name for o in model.graph.output]
            changes = r.sample(CHANGES, r.choice((1, 1, 2)))
            for change in changes:
                if len(model.graph.node) and len(model.graph.initializer):
                    change(model, r)
            data = model.SerializeToString()
            path.write_bytes(spoil_file(data, r) if r.random() < 0.1 else data)
            result = watched(path, outputs)
            found[result] += 1
            if result[0].isupper():
                print(seed, [c.__name__ for c in changes], result, flush=True)
    for result, count in found.most_common():
        print(f"{count:5}  {result}")
    return int(any(result[0].isupper() for result in found))


if __name__ == "__main__":
    sys.exit(main())
