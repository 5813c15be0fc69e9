"""OpenVINO graphs: three published forms of constants, hostile and damaged files, the real weights."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from export.weights.find import find_weights
from export.weights.openvino_ir import IrGraph
from export.weights.openvino_run import run_ir
from export.zoo.lw_openpose.load import load_lw_openpose
from export.zoo.lw_openpose.module import LwOpenPose
from rpi_runtime.errors import WeightsError
from tests.export.irs import IrWriter, as_float32, layer_types, write_lw_openpose

PUBLISHED = "data/weights/human-pose-estimation-0001/FP16-INT8/human-pose-estimation-0001.xml"


def small(kind: str) -> tuple[IrWriter, np.ndarray, np.ndarray]:
    """One convolution and a bias, its constants stored as `kind`; weights and bias that must come back."""
    rng = np.random.default_rng(2)
    writer = IrWriter("10" if kind == "int8" else "11")
    image = writer.add("Parameter", shape="1,3,8,8", element_type="f32")
    bias = rng.normal(size=(1, 4, 1, 1)).astype(np.float32)
    if kind == "int8":
        stored = rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
        scale = rng.uniform(0.01, 0.1, (4, 1, 1, 1)).astype(np.float16)
        zero = np.zeros((4, 1, 1, 1), np.float16)
        wide = writer.add("Convert", writer.const(stored), destination_type="f16")
        shifted = writer.add("Subtract", wide, writer.const(zero))
        weights = writer.add("Multiply", shifted, writer.const(scale))
        kernel = stored.astype(np.float32) * scale.astype(np.float32)
    else:
        dtype = np.float32 if kind == "f32" else np.float16
        kernel = rng.normal(size=(4, 3, 3, 3)).astype(dtype)
        weights = writer.const(kernel)
        bias = bias.astype(dtype).astype(np.float32)
        if kind == "f16":
            weights = writer.add("Convert", weights, destination_type="f32")
    conv = writer.conv(image, weights)
    total = writer.add("Add", conv, writer.const(bias))
    writer.add("Result", writer.add("ReLU", total))
    return writer, kernel.astype(np.float32), bias.reshape(-1)


@pytest.mark.parametrize("kind", ["f32", "f16", "int8"])
def test_constants_of_every_published_form(tmp_path: Path, kind: str) -> None:
    writer, kernel, bias = small(kind)
    graph = IrGraph(writer.write(tmp_path))
    (conv,) = graph.convolutions()
    np.testing.assert_array_equal(graph.kernel(conv), kernel)
    np.testing.assert_array_equal(graph.bias(conv), bias)
    image = np.random.default_rng(3).normal(size=(1, 3, 6, 7)).astype(np.float32)
    weights, offsets = torch.from_numpy(kernel), torch.from_numpy(bias)
    expected = torch.relu(torch.conv2d(torch.from_numpy(image), weights, offsets, padding=1))
    np.testing.assert_allclose(run_ir(graph, image)[4], expected.numpy(), atol=1e-5)


def test_depthwise_weights_lose_their_group_axis(tmp_path: Path) -> None:
    writer = IrWriter()
    image = writer.add("Parameter")
    kernel = np.random.default_rng(0).normal(size=(3, 1, 1, 3, 3)).astype(np.float32)
    writer.add("Result", writer.conv(image, writer.const(kernel), kind="GroupConvolution"))
    graph = IrGraph(writer.write(tmp_path))
    assert graph.kernel(graph.convolutions()[0]).shape == (3, 1, 3, 3)
    pixels = np.ones((1, 3, 5, 5), np.float32)
    expected = torch.conv2d(torch.from_numpy(pixels), torch.from_numpy(kernel[:, 0]), padding=1, groups=3)
    np.testing.assert_allclose(run_ir(graph, pixels)[3], expected.numpy(), atol=1e-6)


HOSTILE = {
    "external entity": '<!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    "billion laughs": '<!DOCTYPE net [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
    "external document type": '<!DOCTYPE net SYSTEM "http://127.0.0.1:9/net.dtd"><!ENTITY y "z">',
}


@pytest.mark.parametrize("head", HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_refused(tmp_path: Path, head: str) -> None:
    writer, _, _ = small("f32")
    xml = writer.write(tmp_path, head=head)
    xml.write_text(re.sub(r'name="net"', 'name="&x;&c;"', xml.read_text(), count=1))
    with pytest.raises(WeightsError, match="not a readable OpenVINO graph"):
        IrGraph(xml)


def test_an_entity_that_nothing_uses_is_refused_too(tmp_path: Path) -> None:
    xml = small("f32")[0].write(tmp_path, head='<!DOCTYPE net [<!ENTITY x "y">]>')
    with pytest.raises(WeightsError, match="not a readable"):
        IrGraph(xml)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": -4},
        {"offset": 4},
        {"size": 1 << 40},
        {"size": 8},
        {"shape": "4096,4096,4096"},
        {"shape": "-1", "size": -4},
        {"shape": "-1,-1", "size": 4},
        {"shape": "x"},
        {"element_type": "f64"},
        {"offset": "99999999999999999999"},
    ],
    ids=str,
)
def test_constants_outside_their_file_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    writer = IrWriter()
    writer.const(np.ones(4, np.float32), name="weights", **changes)
    with pytest.raises(WeightsError, match="weights"):
        IrGraph(writer.write(tmp_path))


def malformed(name: str) -> IrWriter:
    writer = IrWriter()
    image = writer.add("Parameter")
    one = writer.const(np.ones((1, 3, 1, 1), np.float32))
    if name == "cycle":
        writer.add("ReLU", "3")
        writer.add("ReLU", "2")
    elif name == "edge from nowhere":
        writer.add("ReLU", "77")
    elif name == "unknown constant operation":
        writer.add("Sin", one)
    elif name == "constants that do not broadcast":
        writer.add("Add", one, writer.const(np.ones((1, 2, 1, 1), np.float32)))
    elif name == "reshape to another size":
        writer.add("Reshape", one, writer.const(np.array([5, 5])))
    elif name == "convert without a type":
        writer.add("Convert", one)
    elif name == "convert to an unknown type":
        writer.add("Convert", one, destination_type="bf16")
    elif name == "port that is no number":
        writer.edges.append(f'<edge from-layer="{image}" to-layer="{one}" to-port="x"/>')
    return writer


@pytest.mark.parametrize(
    "name",
    [
        "cycle", "edge from nowhere", "unknown constant operation", "constants that do not broadcast",
        "reshape to another size", "convert without a type", "convert to an unknown type", "port that is no number",
    ],
)  # fmt: skip
def test_malformed_graphs_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError) as caught:
        IrGraph(malformed(name).write(tmp_path))
    assert "\n" not in str(caught.value)


def test_running_an_unknown_operation_names_it(tmp_path: Path) -> None:
    writer = IrWriter()
    writer.add("Result", writer.add("Softmax", writer.add("Parameter"), name="odd one"))
    graph = IrGraph(writer.write(tmp_path))
    with pytest.raises(WeightsError, match=r"Softmax \(odd one\)"):
        run_ir(graph, np.zeros((1, 3, 4, 4), np.float32))


def test_a_graph_of_another_network_is_refused(tmp_path: Path) -> None:
    weights = find_weights(str(small("f32")[0].write(tmp_path)), {})
    with pytest.raises(WeightsError, match="expected the four of"):
        load_lw_openpose(weights)


def test_a_missing_bin_and_a_missing_xml(tmp_path: Path) -> None:
    xml = small("f32")[0].write(tmp_path)
    xml.with_suffix(".bin").unlink()
    with pytest.raises(WeightsError, match="two files"):
        IrGraph(xml)
    with pytest.raises(WeightsError, match="cannot be read"):
        IrGraph(tmp_path / "other.xml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('strides="1,1"', 'strides="nan"'),
        ('strides="1,1"', 'strides="1e9"'),
        ('dilations="1,1"', 'dilations=""'),
        ('pads_begin="1,1"', 'pads_begin="-1,99999999999999999999"'),
    ],
)
def test_attributes_that_a_run_cannot_use_are_refused(tmp_path: Path, old: str, new: str) -> None:
    """Found by `tests.benchmarks.hostile_files --kind openvino`."""
    xml = small("f32")[0].write(tmp_path)
    text = xml.read_text()
    assert old in text
    xml.write_text(text.replace(old, new))
    with pytest.raises(WeightsError, match="do not fit each other"):
        run_ir(IrGraph(xml), np.zeros((1, 3, 6, 7), np.float32))


@pytest.mark.parametrize("text", ["", "<net", "<html></html>", '<net version="7"></net>', "\x00\xff"])
def test_files_that_are_no_graph(tmp_path: Path, text: str) -> None:
    (tmp_path / "net.xml").write_bytes(text.encode("latin1"))
    (tmp_path / "net.bin").write_bytes(b"")
    with pytest.raises(WeightsError):
        IrGraph(tmp_path / "net.xml")


@pytest.mark.parametrize("part", [0.0, 0.2, 0.6, 0.999])
@pytest.mark.parametrize("suffix", [".xml", ".bin"])
@pytest.mark.parametrize("kind", ["f32", "f16", "int8"])
def test_truncated_weights(tmp_path: Path, kind: str, suffix: str, part: float) -> None:
    file = small(kind)[0].write(tmp_path).with_suffix(suffix)
    data = file.read_bytes()
    file.write_bytes(data[: int(part * len(data))])
    with pytest.raises(WeightsError, match=re.escape(file.name)):
        find_weights(str(tmp_path / "net.xml"), {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lightweight OpenPose with random weights, in the form in which Open Model Zoo publishes it."""
    torch.manual_seed(0)
    return write_lw_openpose(LwOpenPose("omz").eval(), tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("part", [0.0, 0.2, 0.6, 0.999])
@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_truncated_weights_of_a_whole_network(tmp_path: Path, whole: Path, suffix: str, part: float) -> None:
    for file in (whole, whole.with_suffix(".bin")):
        data = file.read_bytes()
        cut = int(part * len(data)) if file.suffix == suffix else len(data)
        (tmp_path / file.name).write_bytes(data[:cut])
    with pytest.raises(WeightsError, match=re.escape(whole.with_suffix(suffix).name)):
        load_lw_openpose(find_weights(str(tmp_path / whole.name), {}))


def test_changed_values_are_noticed_or_finite(tmp_path: Path, whole: Path) -> None:
    """A convolution whose strides were changed computes something else than the network."""
    shutil.copy(whole.with_suffix(".bin"), tmp_path / "net.bin")
    text = whole.read_text()
    (tmp_path / "net.xml").write_text(
        text.replace('strides="2,2"', 'strides="1,1"', 1).replace('strides="2, 2"', 'strides="1, 1"', 1)
    )
    assert (tmp_path / "net.xml").read_text() != text
    with pytest.raises(WeightsError):
        load_lw_openpose(find_weights(str(tmp_path / "net.xml"), {}))


def test_a_file_and_the_torch_network_agree(whole: Path) -> None:
    graph = IrGraph(whole)
    net, scale, notes = load_lw_openpose(find_weights(str(whole), {}))
    assert (notes, scale) == (["graph omz"], 1 / 255)
    pixels = np.random.default_rng(4).integers(0, 256, (1, 3, 40, 64)).astype(np.float32)
    expected = run_ir(graph, pixels)
    with torch.inference_mode():
        outputs = net(torch.from_numpy((pixels - 128) * np.float32(scale)))
    for out in outputs:
        want = expected[out.shape[1]]
        # the file's own normalisation is rounded to f16
        np.testing.assert_allclose(out.numpy(), want, atol=1e-3 * np.abs(want).max())


def test_the_fp32_form_loads_to_the_same_outputs(tmp_path: Path, whole: Path) -> None:
    xml = as_float32(IrGraph(whole), tmp_path / "fp32")
    assert not layer_types(xml) & {"FakeQuantize", "Convert", "Subtract"}
    nets = [load_lw_openpose(find_weights(str(x), {})) for x in (whole, xml)]
    assert nets[0][1:] == nets[1][1:]
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.inference_mode():
        for ours, theirs in zip(nets[1][0](image), nets[0][0](image), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_folder_or_the_bin_names_the_same_weights(whole: Path) -> None:
    folder, values = whole.parent, whole.with_suffix(".bin")
    digests = {find_weights(str(p), {}).sha256 for p in (whole, folder, values)}
    assert digests == {hashlib.sha256(values.read_bytes()).hexdigest()}


def test_the_published_weights_load(shared: Path) -> None:
    found = find_weights(str(shared / PUBLISHED), {})
    assert found.sha256 == "df2a9f41f15c3a0c8a0c5a704650338a3cc5c7bb588f2bfc14ea7093fa37b446"
    _, scale, notes = load_lw_openpose(found)  # compares both networks' outputs
    assert (notes, scale) == (["graph omz"], 1 / 255)


def test_a_chain_of_20000_layers_is_read(tmp_path: Path) -> None:
    """Sorting them took the square of their number."""
    writer = IrWriter()
    last = writer.add("Parameter", shape="1,3,8,8", element_type="f32")
    for _ in range(20_000):
        last = writer.add("ReLU", last)
    graph = IrGraph(writer.write(tmp_path))
    assert [*graph.layers][-1] == last


def test_an_operation_of_no_pose_network_says_what_to_do(tmp_path: Path) -> None:
    writer = IrWriter()
    image = writer.add("Parameter", shape="1,8,8,3", element_type="u8")
    writer.add("Result", writer.add("Transpose", image, writer.const(np.array([0, 3, 1, 2]))))
    with pytest.raises(WeightsError, match=r"without preprocessing built in.* --onnx with a --card"):
        run_ir(IrGraph(writer.write(tmp_path)), np.zeros((1, 8, 8, 3), np.float32))
