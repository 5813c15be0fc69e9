"""Every form of an operator against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.export.graph.onnxgraphs import Graph, check

pytestmark = pytest.mark.usefixtures("in_process")

Form = Callable[[Graph], Any]
FORMS: dict[str, tuple[Form, tuple[int, ...]]] = {}


def form(*opsets: int, name: str = "") -> Callable[[Form], Form]:
    def register(function: Form) -> Form:
        FORMS[name or function.__name__] = function, opsets or (17,)
        return function

    return register


def add(name: str, function: Form, *opsets: int) -> None:
    assert name not in FORMS, name
    FORMS[name] = function, opsets or (17,)


# --- convolutions
def conv(channels: int, outputs: int, kernel: tuple[int, int], group: int = 1, **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        weights = g.normal(outputs, channels // group, *kernel, scale=0.3)
        return g.add("Conv", g.map(channels), weights, g.normal(outputs), group=group, **attributes)

    return build


for label, attributes in {
    "plain": {}, "padded": {"pads": [1, 1, 1, 1]}, "stride": {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    "uneven": {"pads": [0, 2, 1, 0]}, "behind": {"pads": [0, 0, 1, 1], "strides": [2, 2]},
    "dilated": {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, "upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "lower": {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, "valid": {"auto_pad": "VALID"},
    "strides": {"strides": [1, 2], "pads": [1, 0, 1, 0]}, "dilated-stride": {"dilations": [2, 1], "strides": [2, 1]},
}.items():  # fmt: skip
    add(f"conv-{label}", conv(8, 6, (3, 3), **attributes))
    add(f"depthwise-{label}", conv(8, 8, (3, 3), 8, **attributes))
    add(f"multiplier-{label}", conv(8, 16, (3, 3), 8, **attributes))
    add(f"grouped-{label}", conv(8, 12, (3, 3), 4, **attributes))
add("conv-even", conv(8, 6, (4, 2), pads=[1, 0, 2, 1]))
add("conv-row", conv(8, 6, (1, 7), pads=[0, 3, 0, 3]))


@form(7, 17)
def conv_without_bias(g: Graph) -> Any:
    return g.add("Conv", g.map(8), g.normal(4, 8, 3, 3))


@form()
def conv_of_a_row(g: Graph) -> Any:
    row = g.add("Reshape", g.map(8), g.const([1, 8, 120], np.int64))
    return g.add("Conv", row, g.normal(6, 8, 3), g.normal(6), pads=[1, 1], strides=[2])


def transposed(kernel: int, group: int = 1, channels: int = 8, outputs: int = 8, **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        weights = g.normal(channels, outputs // group, kernel, kernel, scale=0.3)
        return str(
            g.add("ConvTranspose", g.map(channels), weights, g.normal(outputs), group=group, **attributes)
        )

    return build


for group in (1, 2, 8):
    for label, kernel, attributes in (
        ("k4", 4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}), ("k2", 2, {"strides": [2, 2]}),
        ("k3", 3, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ("k5", 5, {"strides": [2, 2], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
        ("k3-plain", 3, {"strides": [2, 2]}), ("k3-odd", 3, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("k3-stride1", 3, {"pads": [1, 1, 1, 1]}), ("k4-uneven", 4, {"strides": [2, 2], "pads": [1, 0, 0, 2]}),
        ("k7-stride4", 7, {"strides": [4, 4], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
        ("k3-stride3", 3, {"strides": [3, 3]}), ("k8-stride4", 8, {"strides": [4, 4], "pads": [2, 2, 2, 2]}),
        ("same", 3, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("lower", 3, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ("shape", 3, {"strides": [2, 2], "output_shape": [24, 20]}),
        ("dilated", 3, {"strides": [2, 2], "dilations": [2, 2]}),
    ):  # fmt: skip
        add(f"transposed-{label}-g{group}", transposed(kernel, group, **attributes))
add("transposed-small-kernel", transposed(1, strides=[2, 2]))
add("transposed-extra", transposed(2, strides=[3, 3], output_padding=[2, 1]))
add("transposed-g2-more-outputs", transposed(4, 2, 8, 12, strides=[2, 2], pads=[1, 1, 1, 1]), 9, 17)


# --- activations
def activation(kind: str, **attributes: Any) -> Form:
    return lambda g: g.add(kind, g.map(), **attributes)


for kind in (
    "Relu",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Erf",
    "Exp",
    "Abs",
    "Neg",
    "Floor",
    "Ceil",
    "Sign",
    "Sin",
    "Cos",
):
    add(kind.lower(), activation(kind), *((9, 17) if kind == "Relu" else (17,)))
add("elu", activation("Elu"))
add("elu-alpha", activation("Elu", alpha=0.3))
add("selu", activation("Selu"))
add("celu", activation("Celu", alpha=2.0))
add("leaky", activation("LeakyRelu", alpha=0.1))
add("hardsigmoid", activation("HardSigmoid"), 9, 17)
add("hardsigmoid-sixth", activation("HardSigmoid", alpha=1 / 6, beta=0.5))
add("hardswish", activation("HardSwish"))
add("mish", activation("Mish"), 18)
add("gelu", activation("Gelu"), 20)
add("gelu-tanh", activation("Gelu", approximate="tanh"), 20)
add("thresholded", activation("ThresholdedRelu", alpha=0.4))
add("softmax-1-old", activation("Softmax", axis=1), 11)
add("softmax-2-old", activation("Softmax", axis=2), 11)
add("softmax-1", activation("Softmax", axis=1), 13, 17)
add("softmax-3", activation("Softmax", axis=3))
add("softmax-2", activation("Softmax", axis=-2))
add("logsoftmax", activation("LogSoftmax", axis=1))
add("dropout", activation("Dropout"), 7, 12, 17)
add("identity", activation("Identity"))
add("unit-length", activation("LpNormalization", axis=1))
add("clip-attributes", lambda g: g.add("Clip", g.map(), min=-0.5, max=1.5), 7, 10)


def clip(low: float | None, high: float | None) -> Form:
    def build(g: Graph) -> Any:
        bounds = ["" if b is None else g.const(b, np.float32) for b in (low, high)]
        return g.add("Clip", g.map(), *bounds)

    return build


for low, high in (
    (0, 6),
    (0, 1),
    (-1, 1),
    (None, 2),
    (0.5, None),
    (-2, 3),
    (None, None),
    (1, 1),
    (0, 3.4e38),
):
    add(f"clip-{low}-{high}", clip(low, high), 11, 17)
add("relu6-min-max", lambda g: g.add("Min", g.add("Max", g.map(), g.const(0.0)), g.const(6.0)))
add("sqrt", lambda g: g.add("Sqrt", g.add("Abs", g.map())))
add("log", lambda g: g.add("Log", g.add("Add", g.add("Abs", g.map()), g.const(0.1))))
add("reciprocal", lambda g: g.add("Reciprocal", g.add("Add", g.add("Abs", g.map()), g.const(0.5))))
add("prelu", lambda g: g.add("PRelu", g.map(), g.normal(8, 1, 1)), 9, 17)
add("prelu-one", lambda g: g.add("PRelu", g.map(), g.const([0.2])))


@form(9, 17)
def hardswish_by_clip(g: Graph) -> Any:
    x = g.map()
    bounds = {"min": 0.0, "max": 6.0} if g.opset < 11 else {}
    limits = [] if g.opset < 11 else [g.const(0.0), g.const(6.0)]
    gate = g.add("Clip", g.add("Add", x, g.const(3.0)), *limits, **bounds)
    return g.add("Div", g.add("Mul", x, gate), g.const(6.0))


@form()
def gelu_by_erf(g: Graph) -> Any:
    x = g.map()
    inner = g.add("Add", g.add("Erf", g.add("Div", x, g.const(2**0.5))), g.const(1.0))
    return g.add("Mul", g.add("Mul", x, inner), g.const(0.5))


@form()
def gelu_by_erf_halved_first(g: Graph) -> Any:
    x = g.map()
    half = g.add("Mul", x, g.const(0.5))
    return g.add("Mul", half, g.add("Add", g.const(1.0), g.add("Erf", g.add("Mul", x, g.const(0.5**0.5)))))


@form()
def gelu_by_erf_halved_last(g: Graph) -> Any:
    x = g.map()
    inner = g.add("Add", g.add("Erf", g.add("Div", x, g.const(2**0.5))), g.const(1.0))
    return g.add("Div", g.add("Mul", x, inner), g.const(2.0))


@form()
def mish_by_softplus(g: Graph) -> Any:
    x = g.map()
    return g.add("Mul", x, g.add("Tanh", g.add("Softplus", x)))


# --- arithmetic
def binary(kind: str, *shape: int, swapped: bool = False, computed: bool = False) -> Form:
    def build(g: Graph) -> Any:
        other = g.add("Exp", g.add("Mul", g.map(8), g.const(0.3))) if computed else g.positive(*shape)
        operands = [g.map(8), other]
        return g.add(kind, *(operands[::-1] if swapped else operands))

    return build


for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
    add(f"{kind.lower()}-channels", binary(kind, 8, 1, 1))
    add(f"{kind.lower()}-maps", binary(kind, computed=True))
    add(f"{kind.lower()}-row", binary(kind, 10))
    add(f"{kind.lower()}-column", binary(kind, 1, 1, 12, 1))
for kind in ("Sub", "Mul", "Add"):
    add(f"{kind.lower()}-from-constant", binary(kind, 1, 8, 1, 1, swapped=True))
for power in (2.0, 0.5, 3.0, 1.0, 1.7):
    add(f"pow-{power}", lambda g, power=power: g.add("Pow", g.add("Exp", g.map()), g.const(power)))
add("mean-of-three", lambda g: g.add("Mean", g.map(), g.map(), g.map()))
add("sum-of-three", lambda g: g.add("Sum", g.map(), g.map(), g.map()))
add("max-of-three", lambda g: g.add("Max", g.map(), g.map(), g.map()))
add("where", lambda g: g.add("Where", g.add("Greater", g.map(), g.const(0.1)), g.map(), g.const(0.0)))
add("where-equal", lambda g: g.add("Where", g.add("LessOrEqual", g.map(), g.map()), g.map(), g.map()))
add("cast", lambda g: g.add("Cast", g.add("Cast", g.map(), to=7), to=1))


@form()
def sum_with_itself(g: Graph) -> Any:
    x = g.map()
    return g.add("Add", x, g.add("Mul", x, x))


@form()
def gate_of_channels(g: Graph) -> Any:
    x = g.map(8)
    return g.add("Mul", x, g.add("Sigmoid", g.map(8, g.add("GlobalAveragePool", x))))


@form()
def lower_rank_operand(g: Graph) -> Any:
    x = g.map(8)
    row = g.add("ReduceMean", x, axes=[0, 1, 2], keepdims=0)
    return g.add("Add", x, row)


# --- rearranging
def shuffle(groups: int) -> Form:
    def build(g: Graph) -> Any:
        parts = g.add("Reshape", g.map(8), g.const([1, groups, 8 // groups, 12, 10], np.int64))
        turned = g.add("Transpose", parts, perm=[0, 2, 1, 3, 4])
        return g.add("Reshape", turned, g.const([1, 8, 12, 10], np.int64))

    return build


add("shuffle-2", shuffle(2), 9, 17)
add("shuffle-4", shuffle(4))
for perm in ([0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [3, 2, 1, 0]):
    add(
        f"transpose-{''.join(map(str, perm))}",
        lambda g, perm=perm: g.add("Transpose", g.map(), perm=perm),
    )
for shape in (
    [1, 8, 120],
    [1, -1],
    [8, 120],
    [1, 4, 2, 12, 10],
    [1, 8, 6, 2, 5, 2],
    [1, 960, 1, 1],
    [2, 4, 120],
    [0, 0, -1],
    [1, 16, 6, 10],
):
    add(f"reshape-{shape}", lambda g, shape=shape: g.add("Reshape", g.map(), g.const(shape, np.int64)))
add("flatten", lambda g: g.add("Flatten", g.map(), axis=1))
add("flatten-2", lambda g: g.add("Flatten", g.map(), axis=2))
add("squeeze-old", lambda g: g.add("Squeeze", g.add("GlobalAveragePool", g.map()), axes=[2, 3]), 11)
add("squeeze", lambda g: g.add("Squeeze", g.add("GlobalAveragePool", g.map()), g.const([2, 3], np.int64)))
add("unsqueeze-old", lambda g: g.add("Unsqueeze", g.map(), axes=[1]), 11)
add("unsqueeze", lambda g: g.add("Unsqueeze", g.map(), g.const([-1], np.int64)))
add("depth-to-space", lambda g: g.add("DepthToSpace", g.map(), blocksize=2), 9, 17)
add("depth-to-space-crd", lambda g: g.add("DepthToSpace", g.map(), blocksize=2, mode="CRD"))
add("space-to-depth", lambda g: g.add("SpaceToDepth", g.map(), blocksize=2))
add(
    "expand",
    lambda g: g.add("Expand", g.add("GlobalAveragePool", g.map()), g.const([1, 8, 5, 7], np.int64)),
)
add(
    "expand-rank",
    lambda g: str(
        g.add(
            "Expand", g.add("ReduceMean", g.map(), axes=[0, 1], keepdims=0), g.const([1, 4, 12, 10], np.int64)
        )
    ),
)
add("tile", lambda g: g.add("Tile", g.map(), g.const([1, 1, 2, 3], np.int64)))
add("tile-channels", lambda g: g.add("Tile", g.map(), g.const([1, 2, 1, 1], np.int64)))


# --- slicing
def sliced(starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> Form:
    def build(g: Graph) -> Any:
        if g.opset < 10:
            return g.add("Slice", g.map(), starts=starts, ends=ends, axes=axes)
        bounds = [g.const(v, np.int64) for v in (starts, ends, axes, *([steps] if steps else []))]
        return g.add("Slice", g.map(), *bounds)

    return build


add("slice-channels", sliced([2], [6], [1]), 9, 17)
add("slice-window", sliced([1, -7], [-1, 2**40], [2, 3]), 9, 17)
add("slice-rows", sliced([0], [12], [2], [2]))
add("slice-columns", sliced([1], [10], [3], [2]))
add("slice-every-channel", sliced([1], [8], [1], [2]))
add("slice-back", sliced([-1], [-100], [3], [-1]))
add("split-two", lambda g: g.add("Sub", *g.add("Split", g.map(), axis=1, outputs=2)), 7, 13, 17)
add(
    "split-even-18",
    lambda g: g.add("Sub", *g.add("Split", g.map(), axis=1, num_outputs=2, outputs=2)),
    18,
)
add(
    "split-uneven-old",
    lambda g: g.add("Concat", *g.add("Split", g.map(), axis=1, split=[3, 5], outputs=2)[::-1], axis=1),
    11,
)
add(
    "split-uneven",
    lambda g: str(
        g.add(
            "Concat", *g.add("Split", g.map(), g.const([1, 2, 5], np.int64), axis=1, outputs=3)[::-1], axis=1
        )
    ),
)
add("split-six", lambda g: g.add("Concat", *g.add("Split", g.map(12), axis=1, outputs=6)[::-1], axis=1))
add("concat-nine", lambda g: g.add("Concat", *[g.map(2 + i % 3) for i in range(9)], axis=1))
add("concat-rows", lambda g: g.add("Concat", g.map(4), g.map(4), axis=2))
add("concat-constant", lambda g: g.add("Concat", g.map(4), g.normal(1, 2, 12, 10), axis=1))
add("gather-scalar", lambda g: g.add("Gather", g.map(), g.const(3, np.int64), axis=1))
add("gather-list", lambda g: g.add("Gather", g.map(), g.const([5, 0, 1, -1], np.int64), axis=1))
add(
    "gather-many",
    lambda g: str(
        g.add("Gather", g.map(24), g.const(np.random.default_rng(0).permutation(24), np.int64), axis=1)
    ),
)
add("gather-table", lambda g: g.add("Gather", g.map(), g.const([[1, 2, 3], [4, 5, 6]], np.int64), axis=1))


def padded(pads: list[int], **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        if g.opset < 11:
            return g.add("Pad", g.map(), pads=pads, **attributes)
        value = [g.const(attributes.pop("value"), np.float32)] if "value" in attributes else []
        return g.add("Pad", g.map(), g.const(pads, np.int64), *value, **attributes)

    return build


add("pad-zero", padded([0, 0, 1, 2, 0, 0, 3, 0]), 9, 17)
add("pad-channels", padded([0, 1, 0, 0, 0, 2, 0, 0]))
add("pad-negative", padded([0, 0, -1, 2, 0, 0, 1, -3]))
add("pad-reflect", padded([0, 0, 2, 1, 0, 0, 1, 3], mode="reflect"), 9, 17)
add("pad-edge", padded([0, 0, 1, 1, 0, 0, 1, 2], mode="edge"))
add("pad-wrap", padded([0, 0, 1, 1, 0, 0, 1, 2], mode="wrap"), 19)
add(
    "pad-number",
    lambda g: g.add("Pad", g.map(), g.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), g.const(0.5)),
)


@form()
def pad_then_padded_conv(g: Graph) -> Any:
    x = g.add("Pad", g.map(), g.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return g.add("Conv", x, g.normal(6, 8, 5, 5, scale=0.2), g.normal(6), pads=[1, 1, 1, 1])


@form()
def focus(g: Graph) -> Any:
    parts = []
    for top, left in ((0, 0), (1, 0), (0, 1), (1, 1)):
        rows = g.add("Slice", "image", *(g.const([v], np.int64) for v in (top, 2**31, 2, 2)))
        parts.append(g.add("Slice", rows, *(g.const([v], np.int64) for v in (left, 2**31, 3, 2))))
    x = g.add("Concat", *parts, axis=1)
    return g.add("Conv", x, g.normal(8, 12, 3, 3, scale=0.2), g.normal(8), pads=[1, 1, 1, 1])


# --- pools
def pool(kind: str, kernel: list[int], **attributes: Any) -> Form:
    return lambda g: g.add(kind, g.map(), kernel_shape=kernel, **attributes)


for kind in ("MaxPool", "AveragePool"):
    for label, kernel_shape, attributes in (
        ("plain", [2, 2], {"strides": [2, 2]}), ("padded", [3, 3], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("same", [3, 3], {"pads": [1, 1, 1, 1]}), ("ceil", [3, 3], {"strides": [2, 2], "ceil_mode": 1}),
        ("ceil-padded", [3, 3], {"strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
        ("upper", [3, 3], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("lower", [2, 2], {"strides": [1, 1], "auto_pad": "SAME_LOWER"}), ("five", [5, 5], {"pads": [2, 2, 2, 2]}),
        ("uneven", [3, 2], {"strides": [1, 2], "pads": [0, 1, 2, 0]}),
    ):  # fmt: skip
        opsets = (11, 17) if "ceil_mode" in attributes else (8, 17)
        add(f"{kind.lower()}-{label}", pool(kind, kernel_shape, **attributes), *opsets)
add(
    "averagepool-counting",
    pool("AveragePool", [3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
)
add(
    "averagepool-counting-ceil",
    pool("AveragePool", [3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1),
    19,
)
add(
    "maxpool-behind-relu",
    lambda g: str(
        g.add("MaxPool", g.add("Relu", g.map()), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    ),
)
add("global-average", lambda g: g.add("GlobalAveragePool", g.map()))
add("global-max", lambda g: g.add("GlobalMaxPool", g.map()))

# --- reductions
for kind in (
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
):
    old = 11 if kind == "ReduceSum" else 17
    add(f"{kind}-channels", lambda g, kind=kind: g.add(kind, g.map(), axes=[1]), old)
    add(f"{kind}-map-dropped", lambda g, kind=kind: g.add(kind, g.map(), axes=[2, 3], keepdims=0), old)
    add(f"{kind}-input", lambda g, kind=kind: g.add(kind, g.map(), g.const([-1], np.int64)), 18)
    add(f"{kind}-all", lambda g, kind=kind: g.add(kind, g.map()), 18)
add("argmax", lambda g: g.add("ArgMax", g.map(), axis=1))
add(
    "argmax-dropped",
    lambda g: str(
        g.add("ArgMax", g.add("Reshape", g.map(), g.const([1, 8, 120], np.int64)), axis=2, keepdims=0)
    ),
)
add("argmin", lambda g: g.add("ArgMin", g.map(), axis=3, keepdims=0))
add(
    "topk",
    lambda g: str(
        g.add(
            "TopK",
            g.add("Reshape", g.map(), g.const([1, 8, 120], np.int64)),
            g.const([5], np.int64),
            outputs=2,
        )[0]
    ),
)
add("topk-channels", lambda g: g.add("TopK", g.map(), g.const([3], np.int64), axis=1, outputs=2)[1])


# --- resizing
def resized(
    mode: str,
    scales: tuple[float, float] | None = None,
    sizes: tuple[int, int] | None = None,
    **attributes: Any,
) -> Form:
    def build(g: Graph) -> Any:
        x = g.map(4)
        if g.opset == 9:
            return g.add("Upsample", x, g.const([1, 1, *(scales or ())], np.float32), mode=mode)
        if g.opset == 10:
            return g.add("Resize", x, g.const([1, 1, *(scales or ())], np.float32), mode=mode)
        empty = g.const([], np.float32)
        if sizes:
            return str(
                g.add("Resize", x, empty, empty, g.const([1, 4, *sizes], np.int64), mode=mode, **attributes)
            )
        return str(
            g.add("Resize", x, empty, g.const([1, 1, *(scales or ())], np.float32), mode=mode, **attributes)
        )

    return build


add(
    "nearest-2", resized("nearest", (2, 2), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
)
add("nearest-old", resized("nearest", (2, 2)), 9, 10)
add("linear-old", resized("linear", (2, 2)), 9, 10)
add(
    "nearest-3", resized("nearest", (3, 3), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
)
add("nearest-4", resized("nearest", (4, 4)))
add("nearest-6", resized("nearest", (6, 6)))
add("nearest-2-1", resized("nearest", (2, 1), nearest_mode="floor"))
add(
    "nearest-half",
    resized("nearest", (0.5, 0.5), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
)
for transform in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        for label, given in (("1.5", {"scales": (1.5, 1.5)}), ("sizes", {"sizes": (7, 23)})):
            add(
                f"nearest-{transform}-{rounding}-{label}",
                resized("nearest", coordinate_transformation_mode=transform, nearest_mode=rounding, **given),
                13,
            )
    for label, given in (
        ("2", {"scales": (2, 2)}),
        ("1.7", {"scales": (1.7, 1.7)}),
        ("half", {"scales": (0.5, 0.5)}),
        ("sizes", {"sizes": (31, 9)}),
        ("one", {"sizes": (1, 20)}),
    ):
        for mode in ("linear", "cubic"):
            add(
                f"{mode}-{transform}-{label}",
                resized(mode, coordinate_transformation_mode=transform, **given),
            )
add("cubic-outside", resized("cubic", (2, 2), cubic_coeff_a=-0.5, exclude_outside=1))


# --- matrices
@form()
def attention(g: Graph) -> Any:
    tokens = g.add("Transpose", g.add("Reshape", g.map(8), g.const([1, 8, 120], np.int64)), perm=[0, 2, 1])
    qkv = g.add("Add", g.add("MatMul", tokens, g.normal(8, 24, scale=0.3)), g.normal(24))
    heads = g.add(
        "Transpose", g.add("Reshape", qkv, g.const([1, 120, 3, 2, 4], np.int64)), perm=[2, 0, 3, 1, 4]
    )
    q, k, v = (g.add("Gather", heads, g.const(i, np.int64), axis=0) for i in range(3))
    scores = g.add("Mul", g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2])), g.const(0.5))
    mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), v)
    joined = g.add("Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([1, 120, 8], np.int64))
    back = g.add("Transpose", g.add("MatMul", joined, g.normal(8, 8)), perm=[0, 2, 1])
    return g.add("Reshape", back, g.const([1, 8, 12, 10], np.int64))


@form(7, 17)
def gemm(g: Graph) -> Any:
    flat = g.add("Flatten", g.map(4))
    return g.add("Gemm", flat, g.normal(480, 7, scale=0.1), g.normal(7), alpha=0.5, beta=2.0)


add(
    "gemm-transposed",
    lambda g: str(
        g.add("Gemm", g.add("Flatten", g.map(4)), g.normal(7, 480, scale=0.1), g.normal(7), transB=1)
    ),
)
add("gemm-without-bias", lambda g: g.add("Gemm", g.add("Flatten", g.map(4)), g.normal(480, 7)), 13)
add("matmul-left-constant", lambda g: g.add("MatMul", g.normal(5, 12), g.map(4)))
add("matmul-columns", lambda g: g.add("MatMul", g.map(4), g.normal(10, 6)))
add("matmul-maps", lambda g: g.add("MatMul", g.map(4), g.add("Transpose", g.map(4), perm=[0, 1, 3, 2])))
for equation in ("bchw,bcij->bhwij", "bchw,bkhw->bck"):
    add(
        f"einsum-{equation}",
        lambda g, equation=equation: g.add("Einsum", g.map(4), g.map(4), equation=equation),
    )


# --- normalisations
@form(7, 9, 14, 17)
def batch_norm(g: Graph) -> Any:
    return g.add("BatchNormalization", g.map(), g.normal(8), g.normal(8), g.normal(8), g.positive(8))


@form()
def batch_norm_of_a_sum(g: Graph) -> Any:
    x = g.map()
    norm = g.add(
        "BatchNormalization",
        g.add("Add", x, g.add("Tanh", x)),
        g.normal(8),
        g.normal(8),
        g.normal(8),
        g.positive(8),
    )
    return g.add("Relu", norm)


add("instance-norm", lambda g: g.add("InstanceNormalization", g.map(), g.normal(8), g.normal(8)))
add(
    "layer-norm-last",
    lambda g: str(
        g.add("LayerNormalization", g.add("Transpose", g.map(), perm=[0, 2, 3, 1]), g.normal(8), g.normal(8))
    ),
)
add(
    "layer-norm-all",
    lambda g: g.add("LayerNormalization", g.map(), g.normal(8, 12, 10), g.normal(8, 12, 10), axis=1),
)
add("layer-norm-without-bias", lambda g: g.add("LayerNormalization", g.map(), g.normal(10), axis=-1))
add(
    "group-norm-21",
    lambda g: g.add("GroupNormalization", g.map(), g.normal(8), g.normal(8), num_groups=4),
    21,
)


@form(9, 17)
def group_norm_by_instance_norm(g: Graph) -> Any:
    shape = g.const([0, 4, -1], np.int64)
    norm = g.add(
        "InstanceNormalization", g.add("Reshape", g.map(), shape), g.const([1.0] * 4), g.const([0.0] * 4)
    )
    back = g.add("Reshape", norm, g.const([1, 8, 12, 10], np.int64))
    return g.add("Add", g.add("Mul", back, g.normal(8, 1, 1)), g.normal(8, 1, 1))


@form()
def layer_norm_by_means(g: Graph) -> Any:
    x = g.add("Transpose", g.map(), perm=[0, 2, 3, 1])
    centred = g.add("Sub", x, g.add("ReduceMean", x, axes=[-1]))
    variance = g.add("ReduceMean", g.add("Pow", centred, g.const(2.0)), axes=[-1])
    unit = g.add("Div", centred, g.add("Sqrt", g.add("Add", variance, g.const(1e-5))))
    return g.add("Add", g.add("Mul", unit, g.normal(8)), g.normal(8))


# --- shapes that the graph computes
@form(11, 17)
def resize_to_the_size_of_another(g: Graph) -> Any:
    x = g.map(4)
    small = g.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    shape = g.add("Shape", x)
    tail = g.add("Slice", shape, g.const([2], np.int64), g.const([4], np.int64), g.const([0], np.int64))
    head = g.add(
        "Slice", g.add("Shape", small), g.const([0], np.int64), g.const([2], np.int64), g.const([0], np.int64)
    )
    sizes = g.add("Concat", head, g.add("Cast", tail, to=7), axis=0)
    empty = g.const([], np.float32)
    up = g.add(
        "Resize",
        small,
        empty,
        empty,
        sizes,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return g.add("Add", x, up)


CASES = [(name, opset) for name, (_, opsets) in FORMS.items() for opset in opsets]


@pytest.mark.parametrize(("name", "opset"), CASES, ids=[f"{n}@{o}" for n, o in CASES])
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    graph = Graph(opset)
    output = FORMS[name][0](graph)
    check(graph.model(output))


@pytest.mark.parametrize("name", ["gelu_by_erf", "gelu_by_erf_halved_first", "gelu_by_erf_halved_last"])
def test_gelu_is_read_as_one_operator(name: str) -> None:
    graph = Graph(17)
    count = check(graph.model(FORMS[name][0](graph)))
    assert count["GELU"] == 1
    assert sum(count.values()) == 2  # the convolution before it, and GELU
