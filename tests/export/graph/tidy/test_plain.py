"""What files hold and how they are brought to the plain form, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.describe import describe
from export.graph.convert import registry
from export.graph.convert.arithmetic import unary
from export.graph.from_onnx import from_onnx
from export.graph.parity import TOLERANCE
from export.graph.tidy.read import read_onnx
from quant.cards.draft import as_text
from rpi_runtime.errors import InputError, ParityError, PiposeError
from rpi_runtime.model.card import InputSpec
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

SIZE = (12, 10)
SPEC = InputSpec(width=SIZE[1], height=SIZE[0], mean=(0.0,) * 3, scale=(1 / 255,) * 3)


def small(opset: int = 17) -> tuple[Graph, str]:
    g = Graph(opset, SIZE)
    return g, str(g.add("Relu", g.map(8)))


def save(model: onnx.ModelProto, folder: Path, **external: Any) -> Path:
    path = folder / "net.onnx"
    onnx.save(model, str(path), **external)
    return path


def made(model: onnx.ModelProto, *outputs: str) -> Any:
    return from_onnx(model, "net.onnx", SPEC, outputs or [o.name for o in model.graph.output])


EXTERNAL = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}


def test_the_hash_covers_weights_in_other_files(tmp_path: Path) -> None:
    digests = []
    for scale in (1.0, 2.0):
        g = Graph(17, SIZE)
        output = g.add("Conv", "image", g.const(np.full((8, 3, 3, 3), scale, np.float32)))
        path = save(g.model(output), tmp_path, **EXTERNAL)
        model, digest = read_onnx(path)
        digests.append(digest)
        assert numpy_helper.to_array(model.graph.initializer[0]).max() == scale
        (tmp_path / "w.bin").unlink()
    assert digests[0] != digests[1]


@pytest.mark.parametrize("kind", ["outside", "link", "loop", "missing", "short", "absolute"])
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "inner").mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4 * 8 * 27))
    g, output = small()
    path = save(g.model(output), tmp_path / "inner", **EXTERNAL)
    data = tmp_path / "inner" / "w.bin"
    if kind == "link":
        data.unlink()
        data.symlink_to(secret)
    elif kind == "loop":
        data.unlink()
        data.symlink_to(data.name)
    elif kind == "missing":
        data.unlink()
    elif kind == "short":
        data.write_bytes(data.read_bytes()[:5])
    else:
        model = onnx.load(str(path), load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = str(secret) if kind == "absolute" else "../secret.bin"
        path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError):
        read_onnx(path)


def test_half_precision_becomes_float() -> None:
    g, output = small()
    model = g.model(output)
    for tensor in model.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    result = made(model)
    assert all(t.dtype in (np.float32, np.int32) for t in result.model.tensors())


def test_half_precision_that_onnx_runtime_lacks_is_compared_in_float() -> None:
    g = Graph(17, SIZE)
    model = g.model(g.add("Celu", g.map(8)))
    for tensor in model.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    (parity,) = made(model).parities
    assert parity.tolerance == TOLERANCE


def of_whole_numbers(kind: int, last: bool) -> onnx.ModelProto:
    """A normalisation inside the file, of a picture of whole numbers."""
    g = Graph(17, SIZE)
    x = g.add("Transpose", "image", perm=[0, 3, 1, 2]) if last else "image"
    x = g.add("Div", g.add("Cast", x, to=onnx.TensorProto.FLOAT), g.const(255.0))
    model = g.model(g.add("Conv", x, g.normal(8, 3, 3, 3), g.normal(8), pads=[1, 1, 1, 1]))
    image = model.graph.input[0].type.tensor_type
    image.elem_type = kind
    for dim, size in zip(image.shape.dim, (1, *SIZE, 3) if last else (1, 3, *SIZE), strict=True):
        dim.dim_value = size
    return model


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", [onnx.TensorProto.UINT8, onnx.TensorProto.INT32])
def test_a_picture_of_whole_numbers_becomes_one_of_floats(kind: int, last: bool) -> None:
    model = of_whole_numbers(kind, last)
    spec = InputSpec(width=SIZE[1], height=SIZE[0], mean=(0.0,) * 3, scale=(1.0,) * 3)
    result = from_onnx(model, "net.onnx", spec, [o.name for o in model.graph.output]).model
    assert set(result.count_operators()) == {"CONV_2D"}


def test_a_picture_that_is_computed_with_in_whole_numbers_is_named() -> None:
    g = Graph(17, SIZE)
    x = g.add("Cast", g.add("Sub", "image", g.const(128, np.int32)), to=onnx.TensorProto.FLOAT)
    model = g.model(g.add("Conv", x, g.normal(8, 3, 1, 1)))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT32
    with pytest.raises(InputError, match=r"net.onnx: computes with the whole numbers of its image"):
        made(model)


def test_a_picture_of_a_type_that_none_has_is_refused_with_those_that_may_be() -> None:
    with pytest.raises(InputError, match=r"floats, uint8, int32 or int64; it has image \(int8\)"):
        made(of_whole_numbers(onnx.TensorProto.INT8, False))


def test_a_picture_of_whole_numbers_is_described_as_one(tmp_path: Path) -> None:
    path = save(of_whole_numbers(onnx.TensorProto.UINT8, True), tmp_path)
    assert "scale = [1.0, 1.0, 1.0]" in as_text("net", describe(path))


def test_a_card_whose_picture_is_not_that_of_whole_numbers_is_refused() -> None:
    with pytest.raises(InputError, match=r"whole numbers, 0 to 255.*scale \[1, 1, 1\]"):
        made(of_whole_numbers(onnx.TensorProto.UINT8, False))


def quantized() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    levels = [g.const(0.1, np.float32), g.const(0, np.int8)]
    x = g.add("DequantizeLinear", g.add("QuantizeLinear", "image", *levels), *levels)
    return g.model(str(g.add("Conv", x, g.normal(8, 3, 1, 1))))


def training() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    vectors = [g.normal(8), g.normal(8), g.normal(8), g.positive(8)]
    return g.model(g.add("BatchNormalization", g.map(8), *vectors, outputs=3, training_mode=1)[0])


def dropping() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    return g.model(g.add("Dropout", g.map(8), g.const(0.5), g.const(True)))


def optimized() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    g.domains.append(helper.make_opsetid("com.microsoft", 1))
    return g.model(
        g.add("FusedConv", "image", g.normal(8, 3, 1, 1), domain="com.microsoft", activation="Relu")
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (quantized, "QuantizeLinear.*already quantized"),
        (training, "BatchNormalization.*training mode"),
        (dropping, "Dropout.*training mode"),
        (optimized, "FusedConv.*com.microsoft.*optimizations"),
    ],
    ids=["quantized", "training", "dropping", "optimized"],
)
def test_what_no_conversion_makes_right_is_named(model: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        made(model())


def test_weights_that_are_stored_in_integers_are_floats() -> None:
    g = Graph(17, SIZE)
    weights = g.const(g.random.integers(-100, 100, (8, 3, 1, 1)), np.int8)
    real = g.add("DequantizeLinear", weights, g.const(0.01, np.float32), g.const(0, np.int8))
    result = made(g.model(g.add("Conv", "image", real)))
    assert result.model.count_operators() == {"CONV_2D": 1}


def branching(nested: bool) -> onnx.ModelProto:
    """``If`` whose condition comes from a shape, as exporters write `squeeze`."""
    g = Graph(17, SIZE)
    x = g.map(8)
    first = g.add("Gather", g.add("Shape", x), g.const(1, np.int64))
    condition = g.add("Equal", first, g.const(8, np.int64))

    def branch(name: str, factor: float, inner: list[Any] | None = None) -> Any:
        value = numpy_helper.from_array(np.array(factor, np.float32), f"{name}/factor")
        nodes = inner or [helper.make_node("Mul", [x, f"{name}/factor"], [f"{name}/scaled"])]
        end = [helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, [1, 8, *SIZE])]
        return helper.make_graph(nodes, name, [], end, [value])

    taken = branch("then", 3.0)
    if nested:
        deeper = helper.make_node(
            "If",
            [condition],
            ["deep"],
            then_branch=branch("deep_then", 3.0),
            else_branch=branch("deep_else", 5.0),
        )
        taken = branch("then", 1.0, [deeper])
    output = g.add("If", condition, then_branch=taken, else_branch=branch("else", 7.0))
    return g.model(str(g.add("Relu", output)))


@pytest.mark.parametrize("nested", [False, True])
def test_a_branch_whose_condition_is_known_is_taken(nested: bool) -> None:
    result = made(branching(nested))
    assert set(result.model.count_operators()) == {"CONV_2D"}


def test_weights_among_the_inputs_of_an_old_file() -> None:
    g, output = small(9)
    model = g.model(output)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert made(model).model.count_operators() == {"CONV_2D": 1}


def test_dynamic_axes_take_the_size_of_the_card() -> None:
    g, output = small()
    model = g.model(output)
    for index, name in ((0, "n"), (2, "h"), (3, "w")):
        model.graph.input[0].type.tensor_type.shape.dim[index].dim_param = name
    (tensor,) = made(model).model.outputs.values()
    assert tensor.shape == (1, *SIZE, 8)


def test_another_size_than_the_files_is_refused_with_what_to_do() -> None:
    g, output = small()
    with pytest.raises(InputError, match="export the network to ONNX again"):
        from_onnx(g.model(output), "net.onnx", InputSpec(width=16, height=16), [output])


def channels_last(sizes: list[int | str]) -> onnx.ModelProto:
    """A file as tf2onnx leaves it: its image and its map have their channels last."""
    g = Graph(17, SIZE)
    image = g.add("Transpose", "image", perm=[0, 3, 1, 2])
    x = g.add("Relu", g.add("Conv", image, g.normal(8, 3, 1, 1), g.normal(8)))
    model = g.model(g.add("Transpose", x, perm=[0, 2, 3, 1]))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, sizes))
    return model


@pytest.mark.parametrize("sizes", [[1, *SIZE, 3], ["batch", "height", "width", 3]])
def test_an_image_with_its_channels_last_costs_no_transposition(sizes: list[int | str]) -> None:
    model = channels_last(sizes)
    (name,) = [o.name for o in model.graph.output]
    made_of_it = from_onnx(model, "net.onnx", SPEC, [name], lambda _, shape: tuple(range(len(shape)))).model
    assert made_of_it.inputs["image"].shape == (1, *SIZE, 3)
    assert made_of_it.count_operators() == {"CONV_2D": 1}


def test_an_image_with_its_channels_last_is_described(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(channels_last([1, 48, 64, 3]).SerializeToString())
    found = describe(path)
    assert found.size == (64, 48)
    assert [(h.channels, h.stride, h.axes) for h in found.heads] == [(8, 1, "hwc")]


def test_a_batch_is_refused_with_what_to_do() -> None:
    g, output = small()
    model = g.model(output)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(InputError, match="is a batch of 4: export the network again for one picture"):
        made(model, output)


def test_the_graph_may_end_inside() -> None:
    g = Graph(17, SIZE)
    inner = g.map(8)
    boxes = g.add("Transpose", g.add("Reshape", inner, g.const([1, 8, -1], np.int64)), perm=[0, 2, 1])
    result = made(g.model(str(g.add("NonZero", boxes))), inner)
    assert list(result.model.outputs) == [inner]
    with pytest.raises(InputError, match=r"no output absent.*--describe"):
        made(g.model(str(boxes)), "absent")


@pytest.mark.parametrize(
    "name", ["heat maps", "höhe", "maps#1", "heatmaps/BiasAdd:0", "54", "image/normalised"]
)
def test_names_of_any_kind(name: str) -> None:
    g, output = small()
    model = g.model(output)
    model.graph.output[0].name = name
    model.graph.node[-1].output[0] = name
    for node in model.graph.node:
        node.name = "all the same"
    assert list(made(model).model.outputs) == [name]


def zero_stride() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    return g.model(g.add("MaxPool", g.map(8), kernel_shape=[2, 2], strides=[0, 1]))


def bare_norm() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    return g.model(g.add("BatchNormalization", g.map(8)))


def unordered() -> onnx.ModelProto:
    g, output = small()
    g.nodes.reverse()
    return g.model(output)


def enormous() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    model = g.model(g.map(8))
    model.graph.initializer[0].dims[0] = 1 << 40
    return model


def short_weights() -> onnx.ModelProto:
    g = Graph(17, SIZE)
    model = g.model(g.map(8))
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return model


@pytest.mark.parametrize("text", [b"Conv", b"image", b"c0", b"kernel_shape", b"graph"])
def test_texts_that_are_no_utf_8_end_in_one_line(text: bytes, tmp_path: Path) -> None:
    g, output = small()
    data = g.model(output).SerializeToString()
    assert text in data
    path = tmp_path / "net.onnx"
    path.write_bytes(data.replace(text, b"\xff" + text[1:]))
    with pytest.raises(InputError, match="is no UTF-8"):
        read_onnx(path)


@pytest.mark.parametrize("model", [zero_stride, bare_norm, unordered, enormous, short_weights])
def test_damaged_graphs_end_in_one_line(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model().SerializeToString())
    with pytest.raises(InputError) as found:
        read_onnx(path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("kind", ["LSTM", "Unheard"])
def test_an_operator_that_cannot_be_converted_is_named_with_its_tensor(kind: str) -> None:
    g = Graph(17, SIZE)
    if kind == "LSTM":
        row = g.add("Reshape", g.map(8), g.const([120, 1, 8], np.int64))
        tail = g.add("LSTM", row, g.normal(1, 16, 8), g.normal(1, 16, 4), hidden_size=4)
    else:
        tail = g.add("Unheard", g.map(8))
    with pytest.raises(PiposeError, match=kind) as found:
        made(g.model(str(tail)))
    if kind == "LSTM":
        assert found.value.exit_code == ParityError.exit_code
        assert repr(tail) in str(found.value)


def test_a_converter_that_computes_something_else_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(scope: Any, node: Any) -> None:
        value = scope.input(node)
        scope.keep(node, unary(scope, "ELU", value.tensor), value.order)

    monkeypatch.setitem(registry.CONVERTERS, "Tanh", wrong)
    g = Graph(17, SIZE)
    output = g.add("Exp", g.add("Tanh", g.map(8)))
    with pytest.raises(ParityError, match="first at operator Tanh, node 'Tanh_1', tensor 'v1'"):
        made(g.model(str(output)))
