"""Which operators XNNPACK of the installed LiteRT takes in float and in INT8, and what two ways of one thing cost.

    python -m tests.benchmarks.operators
    python -m tests.benchmarks.operators --forms
    python -m tests.benchmarks.operators --tables

Each operator stands alone in a file; one that ends its process is said so. The forms are timed in one run in which they
take turns, one thread, processor time, minimum: ratios mean something on a busy machine, microseconds do not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from quant.tflite.records import Model, Operator, Quantization, Tensor
from quant.tflite.write import write_model

SHAPE = (1, 8, 8, 16)
GRID = Quantization.of(0.05)
UNIT = {
    "LOGISTIC": Quantization.of(1 / 256, -128),
    "TANH": Quantization.of(1 / 128),
    "SOFTMAX": Quantization.of(1 / 256, -128),
}
CONV: dict[str, Any] = {
    "padding": "SAME",
    "stride_h": 1,
    "stride_w": 1,
    "dilation_h_factor": 1,
    "dilation_w_factor": 1,
}
POOL: dict[str, Any] = {
    "padding": "VALID",
    "stride_h": 2,
    "stride_w": 2,
    "filter_height": 2,
    "filter_width": 2,
}
Build = Callable[[bool], bytes]


def stored(name: str, shape: tuple[int, ...], integer: bool, grid: Quantization = GRID) -> Tensor:
    """An activation."""
    dtype = np.dtype(np.int8 if integer else np.float32)
    return Tensor(name=name, shape=shape, dtype=dtype, quantization=grid if integer else None)


def number(*values: Any) -> Tensor:
    return Tensor.constant("numbers", np.array(values, np.int32))


def weights(shape: tuple[int, ...], integer: bool, axis: int = 0) -> list[Tensor]:
    """A kernel with a scale for each output, and a bias."""
    count = shape[axis]
    if not integer:
        return [
            Tensor.constant("w", np.ones(shape, np.float32)),
            Tensor.constant("b", np.zeros(count, np.float32)),
        ]
    scales = Quantization(
        scales=np.full(count, 0.01, np.float32), zero_points=np.zeros(count, np.int64), axis=axis
    )
    bias = replace(scales, scales=np.full(count, 0.0005, np.float32), axis=0)
    return [
        Tensor.constant("w", np.ones(shape, np.int8), scales), Tensor.constant("b", np.zeros(count, np.int32), bias)
    ]  # fmt: skip


def one(kind: str, operands: int, shape: tuple[int, ...], constants: list[Tensor], **options: Any) -> Build:
    """A file of one operator with that many computed operands."""

    def build(integer: bool) -> bytes:
        images = [stored(f"x{i}", SHAPE, integer) for i in range(operands)]
        made = stored("y", shape, integer, UNIT.get(kind, GRID))
        op = Operator(name=kind, inputs=[*images, *constants], outputs=[made], options=options)
        return write_model(Model(inputs={t.name: t for t in images}, outputs={"y": made}, operators=[op]))

    return build


def linear(
    kind: str, shape: tuple[int, ...], kernel: tuple[int, ...], axis: int = 0, **options: Any
) -> Build:
    """A file of one operator with weights."""

    def build(integer: bool) -> bytes:
        image, made = stored("x", SHAPE, integer), stored("y", shape, integer)
        inputs: list[Tensor | None] = [image, *weights(kernel, integer, axis)]
        if kind == "TRANSPOSE_CONV":
            inputs = [number(*shape), inputs[1], image, inputs[2]]
        op = Operator(name=kind, inputs=inputs, outputs=[made], options=options)
        return write_model(Model(inputs={"x": image}, outputs={"y": made}, operators=[op]))

    return build


OPERATORS: dict[str, Build] = {
    "CONV_2D": linear("CONV_2D", SHAPE, (16, 3, 3, 16), **CONV),
    "CONV_2D + RELU6": linear("CONV_2D", SHAPE, (16, 3, 3, 16), **CONV, fused_activation_function="RELU6"),
    "CONV_2D, 4 groups": linear("CONV_2D", SHAPE, (16, 3, 3, 4), **CONV),
    "DEPTHWISE_CONV_2D": linear("DEPTHWISE_CONV_2D", SHAPE, (1, 3, 3, 16), 3, **CONV, depth_multiplier=1),
    "TRANSPOSE_CONV + RELU": linear(
        "TRANSPOSE_CONV", (1, 16, 16, 16), (16, 4, 4, 16), padding="SAME", stride_h=2, stride_w=2,
        fused_activation_function="RELU",
    ),
    "FULLY_CONNECTED": linear("FULLY_CONNECTED", (1, 8, 8, 4), (4, 16), keep_num_dims=True),
    **{
        kind: one(kind, 2, SHAPE, [])
        for kind in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
    },
    "ADD + RELU": one("ADD", 2, SHAPE, [], fused_activation_function="RELU"),
    **{
        kind: one(kind, 1, SHAPE, [])
        for kind in (
            "RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "EXP", "SQRT", "RSQRT", "ABS", "NEG", "GELU"
        )
    },
    "SOFTMAX": one("SOFTMAX", 1, SHAPE, [], beta=1.0),
    "LEAKY_RELU": one("LEAKY_RELU", 1, SHAPE, [], alpha=0.1),
    "MEAN over the map": one("MEAN", 1, (1, 1, 1, 16), [number(1, 2)], keep_dims=True),
    "MEAN over channels": one("MEAN", 1, (1, 8, 8, 1), [number(3)], keep_dims=True),
    "SUM": one("SUM", 1, (1, 1, 1, 16), [number(1, 2)], keep_dims=True),
    "REDUCE_MAX": one("REDUCE_MAX", 1, (1, 1, 1, 16), [number(1, 2)], keep_dims=True),
    "MAX_POOL_2D": one("MAX_POOL_2D", 1, (1, 4, 4, 16), [], **POOL),
    "AVERAGE_POOL_2D": one("AVERAGE_POOL_2D", 1, (1, 4, 4, 16), [], **POOL),
    "PAD": one("PAD", 1, (1, 10, 10, 16), [number([0, 0], [1, 1], [1, 1], [0, 0])]),
    "MIRROR_PAD": one("MIRROR_PAD", 1, (1, 10, 10, 16), [number([0, 0], [1, 1], [1, 1], [0, 0])]),
    "RESHAPE": one("RESHAPE", 1, (1, 64, 16), [number(1, 64, 16)]),
    "TRANSPOSE": one("TRANSPOSE", 1, (1, 16, 8, 8), [number(0, 3, 1, 2)]),
    "SQUEEZE": one("SQUEEZE", 1, (8, 8, 16), [], squeeze_dims=(0,)),
    "SLICE": one("SLICE", 1, (1, 8, 8, 8), [number(0, 0, 0, 4), number(1, 8, 8, 8)]),
    "STRIDED_SLICE, step 2": one(
        "STRIDED_SLICE", 1, (1, 4, 4, 16), [number(0, 0, 0, 0), number(*SHAPE), number(1, 2, 2, 1)]
    ),
    "GATHER": one("GATHER", 1, (1, 8, 8, 3), [number(1, 0, 3)], axis=3),
    "TILE": one("TILE", 1, (1, 16, 16, 16), [number(1, 2, 2, 1)]),
    "CONCATENATION of 5": one("CONCATENATION", 5, (1, 8, 8, 80), [], axis=3),
    "CONCATENATION of 6": one("CONCATENATION", 6, (1, 8, 8, 96), [], axis=3),
    "DEPTH_TO_SPACE": one("DEPTH_TO_SPACE", 1, (1, 16, 16, 4), [], block_size=2),
    "SPACE_TO_DEPTH": one("SPACE_TO_DEPTH", 1, (1, 4, 4, 64), [], block_size=2),
    "RESIZE_BILINEAR": one("RESIZE_BILINEAR", 1, (1, 16, 16, 16), [number(16, 16)], half_pixel_centers=True),
    "RESIZE_NEAREST_NEIGHBOR": one("RESIZE_NEAREST_NEIGHBOR", 1, (1, 16, 16, 16), [number(16, 16)]),
    "BATCH_MATMUL": one("BATCH_MATMUL", 2, (1, 8, 8, 8), [], adj_y=True),
}  # fmt: skip


def verdict(data: bytes) -> str:
    """Whether XNNPACK takes a file's operator, asked in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
            taken = "DELEGATE" in {op["op_name"] for op in interpreter._get_ops_details()}
            os.write(writer, b"yes" if taken else b"no")
        except (RuntimeError, ValueError):
            os.write(writer, b"refused")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(writer)
    found = os.read(reader, 100).decode()
    os.close(reader)
    return found if status == 0 else "ends the process"


Form = Callable[[Tensor], list[Operator]]
SIZES = ((32, 24, 40), (16, 12, 80), (8, 6, 160), (40, 40, 64))


def shuffled_by_transpose(x: Tensor) -> list[Operator]:
    """A channel shuffle as reshape, transpose, reshape."""
    _, h, w, c = x.shape
    parts, turned, y = (
        stored(n, s, True)
        for n, s in (("p", (1, h, w, 2, c // 2)), ("t", (1, h, w, c // 2, 2)), ("y", x.shape))
    )
    steps = (
        ("RESHAPE", x, parts, parts.shape),
        ("TRANSPOSE", parts, turned, (0, 1, 2, 4, 3)),
        ("RESHAPE", turned, y, y.shape),
    )
    return [Operator(name=k, inputs=[a, number(*n)], outputs=[b]) for k, a, b, n in steps]


def shuffled_by_convolution(x: Tensor) -> list[Operator]:
    """The same as a 1x1 convolution with ones and zeros."""
    channels = x.shape[3]
    kernel = (
        np.eye(channels, dtype=np.int8)
        .reshape(2, -1, channels)
        .transpose(1, 0, 2)
        .reshape(channels, 1, 1, channels)
        * 127
    )
    _, bias = weights((channels, 1, 1, channels), True)
    grid = Quantization(
        scales=np.full(channels, 1 / 127, np.float32), zero_points=np.zeros(channels, np.int64)
    )
    y = stored("y", x.shape, True)
    return [
        Operator(
            name="CONV_2D",
            inputs=[x, Tensor.constant("w", kernel, grid), bias],
            outputs=[y],
            options=dict(CONV),
        )
    ]


def doubled_by_depth(x: Tensor) -> list[Operator]:
    """Nearest enlarging by two as four copies and DEPTH_TO_SPACE."""
    _, h, w, c = x.shape
    copies, y = stored("c", (1, h, w, 4 * c), True), stored("y", (1, 2 * h, 2 * w, c), True)
    return [
        Operator(name="CONCATENATION", inputs=[x] * 4, outputs=[copies], options={"axis": 3}),
        Operator(name="DEPTH_TO_SPACE", inputs=[copies], outputs=[y], options={"block_size": 2}),
    ]


def doubled_by_convolution(x: Tensor) -> list[Operator]:
    """The same as a transposed convolution with ones and zeros."""
    _, h, w, c = x.shape
    kernel = np.zeros((c, 2, 2, c), np.int8)
    kernel[np.arange(c), :, :, np.arange(c)] = 127
    grid = Quantization(scales=np.full(c, 1 / 127, np.float32), zero_points=np.zeros(c, np.int64))
    y = stored("y", (1, 2 * h, 2 * w, c), True)
    options: dict[str, Any] = {"padding": "SAME", "stride_h": 2, "stride_w": 2}
    inputs = [number(*y.shape), Tensor.constant("w", kernel, grid), x]
    return [Operator(name="TRANSPOSE_CONV", inputs=inputs, outputs=[y], options=options)]


FORMS: dict[str, dict[str, Form]] = {
    "channel shuffle": {
        "RESHAPE, TRANSPOSE, RESHAPE": shuffled_by_transpose,
        "1x1 CONV_2D": shuffled_by_convolution,
    },
    "nearest x2": {
        "CONCATENATION, DEPTH_TO_SPACE": doubled_by_depth,
        "TRANSPOSE_CONV": doubled_by_convolution,
    },
}


FUNCTIONS = (
    ("RELU",), ("HARD_SWISH",), ("GELU",), ("ABS",), ("SQUARE",), ("EXP",), ("LOG",), ("SQRT",), ("RSQRT",), ("SIN",),
    ("TANH",), ("LOGISTIC", "LOG", "TANH"), ("ABS", "LOGISTIC", "LOG"),
)  # fmt: skip


def functions_in_a_row(names: tuple[str, ...], integer: bool) -> bytes:
    """A file of functions of one value, between INT8 values or in float throughout."""
    x = stored("x", (1, 64, 96, 64), integer, Quantization.of(1 / 64))
    value, operators = x, list[Operator]()
    kinds = ("DEQUANTIZE", *names, "QUANTIZE") if integer else names
    for place, kind in enumerate(kinds):
        last = integer and place == len(kinds) - 1
        made = stored(f"v{place}", x.shape, last, Quantization.of(1 / 64))
        operators.append(Operator(name=kind, inputs=[value], outputs=[made]))
        value = made
    return write_model(Model(inputs={"x": x}, outputs={"y": value}, operators=operators))


def timed_tables(rounds: int = 30) -> dict[str, tuple[float, float]]:
    """Microseconds of functions between INT8 values, and in float, on 393,216 values."""
    found = {}
    for names in FUNCTIONS:
        runs = [Interpreter(model_content=functions_in_a_row(names, i), num_threads=1) for i in (True, False)]
        best = [float("inf")] * 2
        for run in runs:
            run.allocate_tensors()
        for _ in range(rounds):
            for index, run in enumerate(runs):
                start = time.thread_time_ns()
                run.invoke()
                best[index] = min(best[index], (time.thread_time_ns() - start) / 1e3)
        found[", ".join(names)] = (best[0], best[1])
    return found


def timed(
    forms: dict[str, Form], size: tuple[int, int, int], rounds: int = 15, copies: int = 6
) -> dict[str, float]:
    """Microseconds of each form on one map, several of them in one file."""
    runs = {}
    for name, form in forms.items():
        x = stored("x", (1, *size), True)
        made = [form(x) for _ in range(copies)]
        outputs = {f"y{i}": ops[-1].outputs[0] for i, ops in enumerate(made)}
        model = Model(inputs={"x": x}, outputs=outputs, operators=[op for ops in made for op in ops])
        runs[name] = Interpreter(model_content=write_model(model), num_threads=1)
        runs[name].allocate_tensors()
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, interpreter in runs.items():
            start = time.process_time_ns()
            interpreter.invoke()
            best[name] = min(best[name], (time.process_time_ns() - start) / copies / 1e3)
    return best


def main() -> int:
    """Run and print; see the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--forms", action="store_true", help="time two ways of one thing instead")
    parser.add_argument(
        "--tables", action="store_true", help="time functions of one value between INT8 values instead"
    )
    args = parser.parse_args()
    if args.tables:
        for names, (between, real) in timed_tables().items():
            print(f"{names:<24} between INT8 values {between:.0f} us  in float {real:.0f} us")
        return 0
    if args.forms:
        for what, forms in FORMS.items():
            for size in SIZES:
                found = timed(forms, size)
                print(
                    f"{what:<16} {'x'.join(map(str, size)):<10}",
                    *(f"{n} {us:.1f} us" for n, us in found.items()),
                    sep="  ",
                )
        return 0
    print(f"{'operator':<26} float32           int8")
    for name, build in OPERATORS.items():
        print(f"{name:<26} {verdict(build(False)):<17} {verdict(build(True))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
