"""ONNX to the plain form: Identity and Constant gone, batch norm folded, sizes pinned, other files refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.graph.from_torch import from_torch
from export.graph.graph import OnnxGraph, from_file, run, tidy
from rpi_runtime.errors import InputError

RNG = np.random.default_rng(6)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)
NORM = {
    "gamma": RNG.uniform(0.5, 2, 4).astype(np.float32),
    "beta": RNG.normal(size=4).astype(np.float32),
    "mean": RNG.normal(size=4).astype(np.float32),
    "var": RNG.uniform(0.1, 3, 4).astype(np.float32),
}


def model(
    nodes: Sequence[Any], constants: dict[str, np.ndarray], outputs: Sequence[str] = ("out",), **options: Any
) -> onnx.ModelProto:
    shape = options.get("shape", (1, 3, 8, 8))
    entry = helper.make_tensor_value_info(options.get("entry", "image"), TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        list(nodes),
        "g",
        [entry],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, [None] * 4) for o in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", options.get("opset", 17))])
    made.ir_version = 8
    return made


def conv(bias: str = "", output: str = "conv", name: str = "c", entry: str = "image") -> Any:
    return helper.make_node(
        "Conv", [entry, "w", bias] if bias else [entry, "w"], [output], name, pads=[1] * 4
    )


def norm(entry: str = "conv", output: str = "out", epsilon: float = 1e-3) -> Any:
    return helper.make_node("BatchNormalization", [entry, *NORM], [output], "n", epsilon=epsilon)


def image() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("bias", ["", "b"])
def test_batch_norm_folds_exactly(bias: str) -> None:
    before = OnnxGraph(model([conv(bias), norm()], {"w": KERNEL, "b": BIAS} | NORM))
    after = tidy(before.copy().model)
    assert [n.op_type for n in after.nodes] == ["Conv"]
    expected = run(before, image())["out"]
    np.testing.assert_allclose(run(after, image())["out"], expected, atol=2e-6 * np.abs(expected).max())


def test_an_empty_bias_name_is_no_bias() -> None:
    node = helper.make_node("Conv", ["image", "w", ""], ["conv"], "c", pads=[1] * 4)
    after = tidy(model([node, norm()], {"w": KERNEL} | NORM))
    assert [n.op_type for n in after.nodes] == ["Conv"]


@pytest.mark.parametrize("why", ["read twice", "graph output", "computed values"])
def test_batch_norm_that_cannot_fold_stays(why: str) -> None:
    nodes, outputs = [conv(), norm()], ["out"]
    constants = {"w": KERNEL} | NORM
    if why == "read twice":
        nodes.append(helper.make_node("Relu", ["conv"], ["other"], "r"))
        outputs.append("other")
    elif why == "graph output":
        outputs.append("conv")
    else:
        nodes.insert(0, helper.make_node("Abs", ["raw"], ["var"], "a"))
        constants["raw"] = constants.pop("var")
    before = OnnxGraph(model(nodes, constants, outputs))
    after = tidy(before.copy().model)
    assert "BatchNormalization" in [n.op_type for n in after.nodes]
    for name, value in run(before, image()).items():
        np.testing.assert_array_equal(run(after, image())[name], value)


def test_a_kernel_that_two_convolutions_share_is_folded_for_one() -> None:
    nodes = [conv(), norm(), conv(output="plain", name="d")]
    before = OnnxGraph(model(nodes, {"w": KERNEL} | NORM, ["out", "plain"]))
    after = tidy(before.copy().model)
    for name, value in run(before, image()).items():
        np.testing.assert_allclose(run(after, image())[name], value, rtol=1e-4, atol=1e-4)


def test_identities_go_and_their_constants_are_copies() -> None:
    nodes = [
        helper.make_node("Identity", ["w"], ["w2"], "i1"),
        helper.make_node("Identity", ["image"], ["same"], "i2"),
        conv(entry="same", output="a"),
        helper.make_node("Conv", ["image", "w2"], ["b"], "c2", pads=[1] * 4),
        helper.make_node("Add", ["a", "b"], ["sum"], "s"),
        helper.make_node("Identity", ["sum"], ["out"], "i3"),
    ]
    before = OnnxGraph(model(nodes, {"w": KERNEL}))
    after = tidy(before.copy().model)
    assert [n.op_type for n in after.nodes] == ["Conv", "Conv", "Add", "Identity"]
    np.testing.assert_allclose(run(after, image())["out"], run(before, image())["out"], atol=1e-5)
    after.replace_constant("w2", KERNEL * 2)
    assert np.array_equal(after.constants["w"], KERNEL)


def test_constant_nodes_become_initializers() -> None:
    constant = helper.make_node("Constant", [], ["w"], "k", value=numpy_helper.from_array(KERNEL))
    before = OnnxGraph(model([constant, conv(), norm()], NORM))
    after = tidy(before.copy().model)
    assert [n.op_type for n in after.nodes] == ["Conv"]
    np.testing.assert_allclose(run(after, image())["out"], run(before, image())["out"], rtol=1e-4, atol=1e-5)


def test_every_node_gets_a_name_of_its_own() -> None:
    nodes = [
        conv(name=""),
        helper.make_node("Relu", ["conv"], ["r"]),
        helper.make_node("Relu", ["r"], ["out"]),
    ]
    nodes[1].name = nodes[2].name = "same"
    names = [n.name for n in tidy(model(nodes, {"w": KERNEL})).nodes]
    assert len(set(names)) == 3
    assert all(names)


def test_torch_networks_come_with_named_outputs_and_their_own_values() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ELU()).eval()
    graph = from_torch(net, 12, 8, ["maps"])
    pixels = torch.randn(1, 3, 8, 12)
    with torch.inference_mode():
        np.testing.assert_allclose(run(graph, pixels.numpy())["maps"], net(pixels).numpy(), atol=1e-5)


def written(folder: Path, made: onnx.ModelProto) -> str:
    path = folder / "net.onnx"
    onnx.save(made, str(path))
    return str(path)


@pytest.mark.parametrize(
    "shape", [(1, 3, 8, 8), (1, 3, "h", "w"), ("n", 3, "h", "w"), (0, 3, 0, 0), (None,) * 4]
)
def test_static_and_dynamic_inputs(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    made = model([conv(entry="x", output="out")], {"w": KERNEL}, shape=shape, entry="x")
    path = written(tmp_path, made)
    content = Path(path).read_bytes()
    graph = from_file(path, 8, 8, ["out"])
    assert run(graph, image())["out"].shape == (1, 4, 8, 8)
    assert Path(path).read_bytes() == content


def test_outputs_that_the_card_does_not_name_are_cut_off(tmp_path: Path) -> None:
    nodes = [conv(), helper.make_node("Relu", ["conv"], ["out"], "r")]
    path = written(tmp_path, model(nodes, {"w": KERNEL}, ["conv", "out"]))
    assert from_file(path, 8, 8, ["out"]).outputs == ["out"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (model([conv(output="out")], {"w": KERNEL}, shape=(1, 3, 16, 16)), r"expected \[1, 3, 8, 8\]"),
        (model([conv(output="out")], {"w": KERNEL}, shape=(4, 3, 8, 8)), r"expected \[1, 3, 8, 8\]"),
        (model([conv(output="out")], {"w": KERNEL}, shape=(1, 8, 8, 3)), r"expected \[1, 3, 8, 8\]"),
        (model([helper.make_node("Relu", ["image"], ["out"])], {}, shape=(1, 192)), "2 axes"),
        (model([helper.make_node("Relu", ["image"], ["maps"])], {}, ["maps"]), "no output out; it has maps"),
        (model([helper.make_node("Sin2", ["image"], ["out"])], {}), "not a readable ONNX file"),
        (
            model([helper.make_node("Conv", ["image", "w"], ["out"])], {"w": KERNEL[:, :2]}),
            "cannot run",
        ),
        (model([helper.make_node("Relu", ["gone"], ["out"])], {}), "not a readable ONNX file"),
        (
            model([conv("b", "out")], {"w": KERNEL, "b": BIAS * np.float32(np.nan)}),
            "out of an empty image is not finite",
        ),
        (model([conv(output="out")], {"w": KERNEL}, opset=99), r"not a readable|cannot run"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_other_graphs_are_refused(tmp_path: Path, made: onnx.ModelProto, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_file(written(tmp_path, made), 8, 8, ["out"])
    assert "\n" not in str(caught.value)


def test_two_inputs_and_other_types_are_refused(tmp_path: Path) -> None:
    made = model([helper.make_node("Add", ["image", "more"], ["out"])], {})
    made.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1, 3, 8, 8)))
    with pytest.raises(InputError, match="one float input, an image; it has image, more"):
        from_file(written(tmp_path, made), 8, 8, ["out"])
    made = model([helper.make_node("Relu", ["image"], ["out"])], {})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(InputError, match="one float input"):
        from_file(written(tmp_path, made), 8, 8, ["out"])


def test_an_inner_value_that_is_called_image_is_refused(tmp_path: Path) -> None:
    nodes = [conv(entry="x", output="image"), helper.make_node("Relu", ["image"], ["out"], "r")]
    path = written(tmp_path, model(nodes, {"w": KERNEL}, entry="x"))
    with pytest.raises(InputError, match=r"net\.onnx"):
        from_file(path, 8, 8, ["out"])


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_truncated_files(tmp_path: Path, part: float) -> None:
    path = Path(written(tmp_path, model([conv(output="out")], {"w": KERNEL})))
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError) as caught:
        from_file(str(path), 8, 8, ["out"])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("a network, honestly\n" * 20)
    for name in ("net.onnx", "missing.onnx", "."):
        with pytest.raises(InputError, match="not a readable ONNX file"):
            from_file(str(tmp_path / name), 8, 8, ["out"])
