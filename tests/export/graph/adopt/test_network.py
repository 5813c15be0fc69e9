"""A .tflite as the source: every form that is rewritten, against LiteRT's own run of the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.graph.adopt.network import from_tflite, plain_layout
from export.graph.convert.layout import usual_order
from quant.tflite.records import Model, Operator, Quantization, Tensor
from quant.tflite.write import write_model
from rpi_runtime.errors import InputError, ParityError
from rpi_runtime.model.card import InputSpec

SIZE = (12, 10)
SPEC = InputSpec(width=SIZE[1], height=SIZE[0], mean=(0.0,) * 3, scale=(1 / 255,) * 3)
RANDOM = np.random.default_rng(0)


class Net:
    """A network that grows from a convolution to eight channels."""

    def __init__(self, image: Tensor | None = None) -> None:
        self.image = image or Tensor(name="pixels", shape=(1, *SIZE, 3))
        self.operators: list[Operator] = []

    def const(self, value: Any) -> Tensor:
        return Tensor.constant(f"c{len(self.operators)}", np.asarray(value))

    def op(
        self, kind: str, inputs: list[Any], *shapes: tuple[int, ...], dtype: Any = np.float32, **options: Any
    ) -> Any:
        outputs = [
            Tensor(name=f"t{len(self.operators)}.{i}", shape=s, dtype=np.dtype(dtype))
            for i, s in enumerate(shapes)
        ]
        self.operators.append(Operator(name=kind, inputs=inputs, outputs=outputs, options=options))
        return outputs[0] if len(outputs) == 1 else outputs

    def map(self) -> Tensor:
        weights = self.const(RANDOM.normal(size=(8, 1, 1, 3)).astype(np.float32))
        bias = self.const(RANDOM.normal(size=8).astype(np.float32))
        options = {
            "padding": "VALID",
            "stride_h": 1,
            "stride_w": 1,
            "dilation_h_factor": 1,
            "dilation_w_factor": 1,
        }
        result: Tensor = self.op("CONV_2D", [self.image, weights, bias], (1, *SIZE, 8), **options)
        return result

    def data(self, *outputs: Tensor) -> bytes:
        return write_model(
            Model(
                inputs={"pixels": self.image}, outputs={t.name: t for t in outputs}, operators=self.operators
            )
        )


FULL = (1, *SIZE, 8)


def unary(kind: str, shape: tuple[int, ...] = FULL, **options: Any) -> Callable[[Net], Any]:
    return lambda n: n.op(kind, [n.map()], shape, **options)


def with_constants(
    kind: str, shape: tuple[int, ...], *constants: Any, **options: Any
) -> Callable[[Net], Any]:
    return lambda n: n.op(kind, [n.map(), *(n.const(c) for c in constants)], shape, **options)


def ints(*values: Any) -> Any:
    return np.array(values, np.int32)


POOL = {"filter_height": 3, "filter_width": 3, "stride_h": 2, "stride_w": 2}
PADS = ints((0, 0), (1, 1), (2, 1), (0, 0))
CAST = {"in_data_type": "INT32", "out_data_type": "INT32"}


def squeezed(n: Net) -> Any:
    mean = n.op("MEAN", [n.map(), n.const(ints(1, 2))], (1, 1, 1, 8), keep_dims=True)
    return n.op("SQUEEZE", [mean], (1, 8), squeeze_dims=(1, 2))


def computed_shape(n: Net) -> Any:
    like = n.const(np.zeros((1, 120, 8), np.float32))
    shape = n.op("SHAPE", [like], (3,), dtype=np.int32, out_type="INT32")
    return n.op("RESHAPE", [n.map(), n.op("CAST", [shape], (3,), dtype=np.int32, **CAST)], (1, 120, 8))


def split_in_two(n: Net) -> Any:
    inputs = [n.map(), n.const(ints(3, 5)), n.const(ints(3)[0])]
    return n.op("SPLIT_V", inputs, (1, 12, 10, 3), (1, 12, 10, 5), num_splits=2)[1]


FORMS: dict[str, Callable[[Net], Any]] = {
    "hard-swish": unary("HARD_SWISH"),
    "relu-0-to-1": unary("RELU_0_TO_1"),
    "lone-relu6": unary("RELU6"),
    "average": unary("AVERAGE_POOL_2D", (1, 6, 5, 8), padding="SAME", **POOL),
    "average-valid": unary("AVERAGE_POOL_2D", (1, 5, 4, 8), padding="VALID", **POOL),
    "prelu": with_constants("PRELU", FULL, RANDOM.normal(size=(1, 1, 8)).astype(np.float32)),
    "prelu-one": with_constants("PRELU", FULL, np.full((1, 1, 8), 0.25, np.float32)),
    "nearest": with_constants("RESIZE_NEAREST_NEIGHBOR", (1, 24, 20, 8), ints(24, 20)),
    "nearest-odd": with_constants("RESIZE_NEAREST_NEIGHBOR", (1, 17, 9, 8), ints(17, 9), half_pixel_centers=True),
    "strided": with_constants(
        "STRIDED_SLICE", (1, 6, 10, 8), ints(0, 0, 0, 0), ints(1, 12, 10, 8), ints(1, 2, 1, 1),
        end_mask=13, begin_mask=13,
    ),
    "strided-shrink": with_constants(
        "STRIDED_SLICE", (1, 12, 10), ints(0, 0, 0, 3), ints(1, 12, 10, 4), ints(1, 1, 1, 1), shrink_axis_mask=8
    ),
    "squeeze": squeezed,
    "expand": with_constants("EXPAND_DIMS", (1, 1, *FULL[1:]), ints(1)),
    "maximum": with_constants("MAXIMUM", FULL, np.array(0.3, np.float32)),
    "minimum": with_constants("MINIMUM", FULL, np.array([0.3], np.float32)),
    "square-difference": lambda n: n.op("SQUARED_DIFFERENCE", [n.map(), n.map()], FULL),
    "mirror": with_constants("MIRROR_PAD", (1, 14, 13, 8), PADS, mode="REFLECT"),
    "gather": with_constants("GATHER", (1, 12, 10, 3), ints(5, 0, 1), axis=3),
    "pack": lambda n: n.op("PACK", [n.map(), n.map()], (1, 2, *FULL[1:]), axis=1, values_count=2),
    "unpack": lambda n: n.op("UNPACK", [n.map()], *[(1, 12, 10)] * 8, axis=3, num=8)[3],
    "split": lambda n: n.op("SPLIT", [n.const(ints(3)[0]), n.map()], *[(1, 12, 10, 1)] * 8, num_splits=8)[5],
    "split-sizes": split_in_two,
    "concat-nine": lambda n: n.op("CONCATENATION", [n.map() for _ in range(9)], (1, 12, 10, 72), axis=3),
    "shape": computed_shape,
}  # fmt: skip
LEFT = {
    "HARD_SWISH",
    "PRELU",
    "RELU",
    "RELU6",
    "RELU_0_TO_1",
    "AVERAGE_POOL_2D",
    "STRIDED_SLICE",
    "SQUEEZE",
    "SHAPE",
}


@pytest.mark.parametrize("name", FORMS)
def test_form_computes_what_the_file_computes(name: str) -> None:
    net = Net()
    output = FORMS[name](net)
    made = from_tflite(net.data(output), "net.tflite", SPEC, [output.name], plain_layout)
    assert max(p.relative_error for p in made.parities) <= 1e-5
    assert not LEFT & set(made.model.count_operators())
    assert list(made.model.inputs) == ["image"]


@pytest.mark.parametrize("kind", ["half", "int8"])
def test_reduced_weights_become_float(kind: str) -> None:
    net = Net()
    output = net.map()
    (conv,) = net.operators
    weights = conv.inputs[1]
    assert weights is not None
    assert weights.data is not None
    if kind == "half":
        half = Tensor.constant("half", weights.data.astype(np.float16))
        real = Tensor(name="real", shape=weights.shape)
        net.operators.insert(0, Operator(name="DEQUANTIZE", inputs=[half], outputs=[real]))
        conv.inputs[1] = real
    else:
        scales = np.abs(weights.data).max(axis=(1, 2, 3)) / 127
        grid = Quantization(scales=scales, zero_points=np.zeros(8, np.int64), axis=0)
        stored = np.round(weights.data / scales[:, None, None, None]).astype(np.int8)
        conv.inputs[1] = Tensor.constant("stored", stored, grid)
    made = from_tflite(net.data(output), "net.tflite", SPEC, [output.name])
    assert made.model.count_operators() == {"CONV_2D": 1}
    assert {t.dtype.name for t in made.model.tensors()} == {"float32"}
    found = made.model.operators[0].inputs[1]
    assert found is not None
    assert found.data is not None
    assert np.abs(found.data - weights.data).max() <= np.abs(weights.data).max() / (
        1000 if kind == "half" else 200
    )


def test_an_integer_network_is_refused_with_what_to_do() -> None:
    grid = Quantization.of(0.1)
    net = Net(Tensor(name="pixels", shape=(1, *SIZE, 3), dtype=np.dtype(np.int8), quantization=grid))
    output = net.op("MAX_POOL_2D", [net.image], (1, *SIZE, 3), dtype=np.int8, filter_height=1, filter_width=1,
                    stride_h=1, stride_w=1, padding="VALID")  # fmt: skip
    output.quantization = grid
    with pytest.raises(InputError, match=r"already quantized.*--attach"):
        from_tflite(net.data(output), "net.tflite", SPEC, [output.name])


def test_the_network_may_end_at_a_tensor_inside() -> None:
    net = Net()
    inner = net.map()
    last = net.op("LOGISTIC", [inner], FULL)
    made = from_tflite(net.data(last), "net.tflite", SPEC, [inner.name])
    assert made.model.count_operators() == {"CONV_2D": 1}
    with pytest.raises(InputError, match=r"no output absent.*--describe"):
        from_tflite(net.data(last), "net.tflite", SPEC, ["absent"])


def test_channels_first_images_are_turned() -> None:
    net = Net(Tensor(name="pixels", shape=(1, 3, *SIZE)))
    output = net.op("LOGISTIC", [net.image], (1, 3, *SIZE))
    made = from_tflite(
        net.data(output), "net.tflite", SPEC, [output.name], lambda name, shape: usual_order(4)
    )
    assert made.model.inputs["image"].shape == (1, *SIZE, 3)
    assert made.model.outputs[output.name].shape == (1, *SIZE, 3)


def test_an_operator_of_the_files_maker_is_named() -> None:
    net = Net()
    inner = net.map()
    output = Tensor(name="poses", shape=FULL)
    net.operators.append(Operator(name="TheirOwn", inputs=[inner], outputs=[output], custom=b""))
    with pytest.raises((ParityError, InputError), match="TheirOwn"):
        from_tflite(net.data(output), "net.tflite", SPEC, ["poses"])
