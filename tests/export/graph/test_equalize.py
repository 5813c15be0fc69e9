"""Equalization computes the same function, crosses nothing but ReLU, and undoes random rescaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from export.graph.equalize import (
    OUTLIER_FACTOR,
    ChannelStatistics,
    equalize,
    find_outliers,
    measure_channels,
    rescale,
)
from export.graph.graph import OnnxGraph, attribute, run
from export.graph.regions import find_pairs
from quant.recipe import Equalization
from tests.rescaled import rescale_randomly

DATA, WEIGHTS = Equalization(source="data"), Equalization(source="weights", passes=20)


class Builder:
    """A network layer by layer; values are named by the layer that makes them."""

    def __init__(self, seed: int = 0, opset: int = 17) -> None:
        self.rng, self.opset = np.random.default_rng(seed), opset
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.channels = {"image": 3}

    def conv(
        self, source: str, channels: int, *, kernel: int = 3, depthwise: bool = False, weight: str = ""
    ) -> str:
        name, inp = f"v{len(self.nodes)}", self.channels[source]
        channels = inp if depthwise else channels
        weight = weight or f"{name}.w"
        if weight not in self.constants:
            shape = (channels, 1 if depthwise else inp, kernel, kernel)
            self.constants[weight] = self.rng.normal(0, 0.4, shape).astype(np.float32)
        self.constants[f"{name}.b"] = self.rng.normal(0, 0.3, channels).astype(np.float32)
        options = {"pads": [kernel // 2] * 4, "group": inp if depthwise else 1}
        self.nodes.append(helper.make_node("Conv", [source, weight, f"{name}.b"], [name], name, **options))
        self.channels[name] = channels
        return name

    def op(self, kind: str, *sources: str, **options: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(sources), [name], name, **options))
        counts = [self.channels[s] for s in sources]
        self.channels[name] = sum(counts) if kind == "Concat" else counts[0]
        return name

    def relu(self, source: str) -> str:
        return self.op("Relu", source)

    def graph(self, *outputs: str) -> OnnxGraph:
        entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))
        ends = [helper.make_tensor_value_info(o, TensorProto.FLOAT, [None] * 4) for o in outputs]
        initializers = [numpy_helper.from_array(v, k) for k, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "g", [entry], ends, initializers)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        made.ir_version = 8
        return OnnxGraph(made)


def images(count: int = 3, seed: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, (1, 3, 8, 8)).astype(np.float32) for _ in range(count)]


def equalized(graph: OnnxGraph, how: Equalization) -> OnnxGraph:
    statistics = measure_channels(graph, find_pairs(graph), images())
    return equalize(graph, how, statistics if how.source == "data" else None)


def assert_same_function(before: OnnxGraph, after: OnnxGraph, tolerance: float = 2e-5) -> None:
    for image in images(2, seed=31):
        values = run(after, image)
        for name, expected in run(before, image).items():
            np.testing.assert_allclose(
                values[name], expected, atol=tolerance * (np.abs(expected).max() + 1e-6)
            )


LAYERS = st.lists(
    st.sampled_from(["conv", "depthwise", "relu", "elu", "add", "concat", "fork"]), min_size=1, max_size=9
)


def random_graph(kinds: list[str], seed: int) -> OnnxGraph:
    """Layers one after another; "fork" adds a second reader of a value, whose output leaves the graph."""
    net = Builder(seed)
    value = net.relu(net.conv("image", 6))
    outputs = []
    for kind in kinds:
        if kind == "conv":
            value = net.conv(value, 7 if len(net.nodes) % 2 else 5, kernel=1)
        elif kind == "depthwise":
            value = net.conv(value, 0, depthwise=True)
        elif kind in ("relu", "elu"):
            value = net.op(kind.capitalize(), value)
        elif kind == "add":
            value = net.op("Add", value, net.conv(value, net.channels[value]))
        elif kind == "concat":
            value = net.op("Concat", value, net.relu(net.conv(value, 4)), axis=1)
        else:
            outputs.append(net.conv(value, 3, kernel=1))
    return net.graph(net.conv(net.relu(value), 4, kernel=1), *outputs)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(kinds=LAYERS, seed=st.integers(0, 1000), how=st.sampled_from([DATA, WEIGHTS]))
def test_random_networks_keep_their_function(kinds: list[str], seed: int, how: Equalization) -> None:
    graph = random_graph(kinds, seed)
    assert_same_function(graph, equalized(graph, how))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(kinds=LAYERS, seed=st.integers(0, 1000))
def test_random_rescaling_keeps_the_function(kinds: list[str], seed: int) -> None:
    graph = random_graph(kinds, seed)
    assert_same_function(graph, rescale_randomly(graph, 3.0, seed))


@pytest.mark.parametrize("end", ["Elu", "Sigmoid", "output", "add", "concat", "two relus"])
def test_what_is_not_crossed(end: str) -> None:
    net = Builder()
    first = net.conv("image", 6)
    outputs = []
    value = net.op(end, first) if end in ("Elu", "Sigmoid") else net.relu(first)
    if end == "output":
        outputs.append(value)
    elif end == "add":
        net.op("Add", value, net.relu(net.conv("image", 6)))
        outputs.append(net.nodes[-1].output[0])
    elif end == "concat":
        value = net.op("Concat", value, net.relu(net.conv("image", 6)), axis=1)
    elif end == "two relus":
        outputs.append(net.relu(first))
    graph = net.graph(net.conv(value, 4), *outputs)
    pairs = find_pairs(graph)
    assert all(p.first != first for p in pairs)
    assert_same_function(graph, equalized(graph, DATA))


def test_a_tensor_with_several_readers_is_one_pair() -> None:
    net = Builder()
    first = net.conv("image", 6)
    value = net.relu(first)
    graph = net.graph(net.conv(value, 4), net.conv(value, 0, depthwise=True), net.conv(value, 2, kernel=1))
    (pair,) = find_pairs(graph)
    assert (pair.first, len(pair.readers), pair.into_depthwise) == (first, 3, False)
    graph = rescale_randomly(graph, 3.0, 0)
    after = equalized(graph, DATA)
    assert not np.array_equal(after.constants[f"{first}.w"], graph.constants[f"{first}.w"])
    assert_same_function(graph, after)


def test_constants_that_two_nodes_share_are_left_alone() -> None:
    net = Builder()
    one = net.conv("image", 6, weight="shared")
    two = net.conv("image", 6, weight="shared")
    graph = net.graph(net.conv(net.relu(one), 3), net.conv(net.relu(two), 3))
    assert find_pairs(graph) == []
    assert np.array_equal(equalized(graph, DATA).constants["shared"], graph.constants["shared"])


def test_a_grouped_convolution_that_is_not_depthwise_is_left_alone() -> None:
    net = Builder()
    value = net.relu(net.conv("image", 6))
    net.constants["grouped"] = np.ones((4, 3, 1, 1), np.float32)
    net.nodes.append(helper.make_node("Conv", [value, "grouped"], ["out"], "grouped", group=2))
    assert find_pairs(net.graph("out")) == []


@pytest.mark.parametrize("how", [DATA, WEIGHTS], ids=["data", "weights"])
def test_dead_channels_stay_finite(how: Equalization) -> None:
    net = Builder()
    first = net.conv("image", 6)
    net.constants[f"{first}.w"][2] = 0
    net.constants[f"{first}.b"][2] = 0
    net.constants[f"{first}.w"][4] = 0
    net.constants[f"{first}.b"][4] = -1
    second = net.conv(net.relu(first), 0, depthwise=True)
    net.constants[f"{second}.w"][3] = 0
    graph = net.graph(net.conv(net.relu(second), 4))
    after = equalized(graph, how)
    assert all(np.isfinite(v).all() for v in after.constants.values())
    assert np.array_equal(after.constants[f"{first}.w"][2], graph.constants[f"{first}.w"][2])
    assert_same_function(graph, after)


def test_off_changes_nothing() -> None:
    graph = random_graph(["conv", "relu", "depthwise"], 1)
    after = equalize(graph, Equalization(), None)
    assert all(np.array_equal(after.constants[k], v) for k, v in graph.constants.items())


def test_no_channel_is_multiplied_by_more_than_the_limit() -> None:
    net = Builder()
    first = net.conv("image", 6)
    net.constants[f"{first}.w"][0] *= 1e4
    graph = net.graph(net.conv(net.relu(first), 0, depthwise=True))
    after = equalized(graph, Equalization(source="data", limit=16.0))
    ratio = np.abs(after.constants[f"{first}.w"]) / np.abs(graph.constants[f"{first}.w"])
    assert ratio.max() == pytest.approx(16.0, rel=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_statistics_are_those_of_the_activations(opset: int) -> None:
    net = Builder(opset=opset)
    value = net.relu(net.conv("image", 6))
    graph = net.graph(net.conv(value, 4))
    statistics = measure_channels(graph, find_pairs(graph), images())[value]
    shown = net.graph(value)
    seen = np.concatenate([run(shown, image)[value] for image in images()])
    np.testing.assert_allclose(statistics.maximum, seen.max(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(statistics.mean_square, np.square(seen).mean(axis=(0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("channels", [8, 24, 512])
def test_outliers_are_found_and_others_are_not(channels: int) -> None:
    maximum = np.random.default_rng(0).uniform(2, 6, channels)
    flat = ChannelStatistics(maximum=maximum.copy(), mean_square=np.ones(channels))
    maximum[3] = 6 * OUTLIER_FACTOR + 1
    peaked = ChannelStatistics(maximum=maximum, mean_square=np.ones(channels))
    (outlier,) = find_outliers({"flat": flat, "peaked": peaked})
    assert (outlier.tensor, outlier.channel, outlier.maximum) == ("peaked", 3, 6 * OUTLIER_FACTOR + 1)
    assert outlier.next_maximum == np.sort(maximum)[-2]


def quantized(value: np.ndarray, axis: int | None = None) -> np.ndarray:
    """`value` on an int8 grid: one step for all, or one per index of `axis`."""
    others = tuple(i for i in range(value.ndim) if i != axis) if axis is not None else None
    step = np.maximum(np.abs(value).max(axis=others, keepdims=axis is not None), 1e-12) / 127
    return np.rint(value / step) * step


def int8_noise(graph: OnnxGraph) -> float:
    """Noise over signal at the output: weights per channel and rectified tensors per tensor on int8 grids."""
    exact, coarse = graph.copy(), graph.copy()
    nodes = coarse.model.graph.node
    for node in [n for n in coarse.nodes if n.op_type == "Conv"]:
        coarse.replace_constant(
            node.input[1], quantized(coarse.constants[node.input[1]], 0).astype(np.float32)
        )
    tops: dict[str, float] = {}
    for tensor in [n.output[0] for n in exact.nodes if n.op_type == "Relu"]:
        probe = exact.copy()
        probe.model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None] * 4))
        tops[tensor] = max(float(run(probe, image)[tensor].max()) for image in images())
    for tensor, top in tops.items():
        index = next(i for i, n in enumerate(nodes) if n.output[0] == tensor)
        coarse.replace_constant(f"{tensor}.step", np.array(max(top, 1e-9) / 255, np.float32))
        for reader in nodes:
            for i, name in enumerate(reader.input):
                if name == tensor:
                    reader.input[i] = f"{tensor}.real"
        # not QuantizeLinear: ONNX Runtime would fuse it into kernels of another precision
        chain = (("Div", [tensor, f"{tensor}.step"], "steps"), ("Round", [f"{tensor}.steps"], "stored"))
        chain += (("Mul", [f"{tensor}.stored", f"{tensor}.step"], "real"),)
        for place, (kind, sources, end) in enumerate(chain, index + 1):
            nodes.insert(place, helper.make_node(kind, sources, [f"{tensor}.{end}"]))
    signal = noise = 0.0
    for image in images():
        a, b = (next(iter(run(g, image).values())) for g in (exact, coarse))
        signal, noise = signal + float(np.square(a).sum()), noise + float(np.square(a - b).sum())
    return float(np.sqrt(noise / signal))


@pytest.mark.parametrize(("how", "allowed"), [(DATA, 1.1), (WEIGHTS, 1.25)], ids=["data", "weights"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_random_rescaling_is_undone(how: Equalization, allowed: float, seed: int) -> None:
    net = Builder(seed)
    value = net.relu(net.conv("image", 24))
    for _ in range(3):
        value = net.relu(net.conv(net.relu(net.conv(value, 0, depthwise=True)), 24, kernel=1))
    original = net.graph(net.conv(value, 8, kernel=1))
    damaged = rescale_randomly(original, 3.0, seed)
    noise = {k: int8_noise(g) for k, g in {"original": original, "damaged": damaged}.items()}
    repaired = int8_noise(equalized(damaged, how))
    assert noise["damaged"] > 4 * noise["original"]
    assert repaired < allowed * noise["original"]


def test_rescale_leaves_no_trace_but_the_channels() -> None:
    graph = random_graph(["conv", "relu"], 4)
    pair = find_pairs(graph)[0]
    conv = next(n for n in graph.nodes if n.name == pair.first)
    factors = np.ones(graph.constants[conv.input[1]].shape[0])
    factors[1] = 8.0
    changed = graph.copy()
    rescale(changed, pair, factors)
    touched = {k for k, v in graph.constants.items() if not np.array_equal(changed.constants[k], v)}
    readers = [n for n in graph.nodes if n.name in pair.readers]
    assert touched == {conv.input[1], conv.input[2], *(r.input[1] for r in readers)}
    assert attribute(conv, "group", 1) == 1
