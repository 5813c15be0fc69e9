"""Channels are rescaled across gates, pools and interleavings, and the network computes the same function."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from export.graph.equalize import equalize, measure_channels, rescale
from export.graph.from_torch import from_torch
from export.graph.graph import OnnxGraph, run
from export.graph.regions import Pair, find_pairs
from export.graph.rewrite.passes import rewrite
from quant.recipe import Equalization
from tests.export.blocks import HEIGHT, WIDTH, block_graph, blocks
from tests.export.simulated_int8 import int8_noise
from tests.rescaled import rescale_randomly


def images(count: int = 2) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(7)
    for _ in range(count):
        yield rng.uniform(-0.5, 0.5, (1, 3, HEIGHT, WIDTH)).astype(np.float32)


def assert_same(before: OnnxGraph, after: OnnxGraph) -> None:
    for image in images():
        expected, found = run(before, image), run(after, image)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=2e-5 * np.abs(value).max(), rtol=0)


def graph_of(*names: str) -> OnnxGraph:
    return rewrite(block_graph(*names))[0]


def from_stem(graph: OnnxGraph) -> Pair | None:
    stem = next(n.name for n in graph.nodes if n.op_type == "Conv")
    return next((p for p in find_pairs(graph) if stem in p.writers), None)


def operations(graph: OnnxGraph, names: tuple[str, ...]) -> list[str]:
    return [n.op_type for n in graph.nodes if n.name in names]


@pytest.mark.parametrize("name", list(blocks()))
def test_rescaling_keeps_every_blocks_function(name: str) -> None:
    graph = graph_of(name)
    scaled = rescale_randomly(graph, 3.0, seed=1)
    assert_same(graph, scaled)
    how = Equalization(source="data")
    statistics = measure_channels(scaled, find_pairs(scaled), images())
    assert_same(graph, equalize(scaled, how, statistics))
    assert_same(graph, equalize(scaled, Equalization(source="weights", passes=3), None))


def test_a_gate_made_from_the_map_is_compensated() -> None:
    graph = graph_of("squeeze-excite")
    pair = from_stem(graph)
    assert pair is not None
    assert (len(pair.writers), len(pair.readers), len(pair.pooled)) == (1, 1, 1)
    assert len(pair.others) == 1  # before the gate; the reader's tensor is behind it
    changed = graph.copy()
    rescale(changed, pair, np.full(16, 8.0))
    gates = [n.output[0] for n in graph.nodes if n.op_type == "Clip"]
    for each in (graph, changed):
        each.model.graph.output.append(helper.make_tensor_value_info(gates[0], 1, None))
    assert_same(graph, changed)  # the gate itself as well


def test_both_gates_of_the_attention_are_compensated() -> None:
    pair = from_stem(graph_of("attention"))
    assert pair is not None
    assert (len(pair.readers), len(pair.pooled)) == (
        2,
        1,
    )  # the output and the spatial gate; the channel gate


def test_the_phases_of_a_transposed_convolution_share_their_factors() -> None:
    graph = graph_of("depthwise-transposed")
    pair = next(p for p in find_pairs(graph) if len(p.writers) == 4)
    assert not pair.into_depthwise
    assert len(pair.readers) == 1
    before = next(p for p in find_pairs(graph) if len(p.readers) == 4)  # they read the stem, depthwise
    assert before.into_depthwise


@pytest.mark.parametrize("name", ["hard-swish", "swish", "global-context"])
def test_what_does_not_commute_with_a_factor_is_not_crossed(name: str) -> None:
    assert from_stem(graph_of(name)) is None


class Tied(nn.Module):
    """A map times another map, and times itself."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b, self.out, self.how = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> (N, 2, h, w)."""
        a = torch.relu(self.a(x))
        if self.how == "itself":
            y: torch.Tensor = self.out(a * a)
        elif self.how == "pool":
            y = self.out(a * a.mean((2, 3), keepdim=True))
        elif self.how == "padded with one":
            y = self.out(nn.functional.pad(a, (1, 1, 1, 1), value=1.0))
        else:
            y = self.out(a * torch.relu(self.b(x)))
        return y


@pytest.mark.parametrize("how", ["itself", "pool", "padded with one", "another"])
def test_products_and_padding_with_a_scale_of_their_own(how: str) -> None:
    torch.manual_seed(2)
    graph = from_torch(Tied(how).eval(), WIDTH, HEIGHT, ["out"])
    pairs = find_pairs(graph)
    assert len(pairs) == (1 if how == "another" else 0)
    assert_same(graph, rescale_randomly(graph, 3.0, seed=3))


def test_a_linear_map_counts_with_its_whole_range() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)).eval()
    graph = from_torch(net, WIDTH, HEIGHT, ["out"])
    (pair,) = find_pairs(graph)
    found = measure_channels(graph, [pair], images())[pair.tensor].maximum
    with torch.no_grad():
        values = np.stack([net[0](torch.from_numpy(i))[0].flatten(1).numpy() for i in images()])
    want = np.max([np.maximum(v.max(1), 0) + np.maximum(-v.min(1), 0) for v in values], axis=0)
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_no_channel_rises_above_the_largest_before_the_gate() -> None:
    graph = rescale_randomly(graph_of("squeeze-excite"), 4.0, seed=5)
    pair = from_stem(graph)
    assert pair is not None
    before = measure_channels(graph, [pair], images(4))
    after_graph = equalize(
        graph, Equalization(source="data"), measure_channels(graph, find_pairs(graph), images(4))
    )
    after = measure_channels(after_graph, [pair], images(4))
    for tensor in (pair.tensor, *pair.others):
        spread = [np.ptp(np.log2(s[tensor].maximum[s[tensor].maximum > 0])) for s in (before, after)]
        assert spread[1] < spread[0]
        assert after[tensor].maximum.max() <= 1024 * before[tensor].maximum.max()


@pytest.mark.parametrize("name", ["squeeze-excite", "attention", "depthwise-transposed", "branches"])
def test_random_rescaling_across_the_block_is_undone(name: str) -> None:
    original, pictures = graph_of(name), list(images(4))
    damaged = rescale_randomly(original, 3.0, seed=1)
    statistics = measure_channels(damaged, find_pairs(damaged), pictures)
    repaired = equalize(damaged, Equalization(source="data"), statistics)
    noise = [int8_noise(graph, pictures) for graph in (original, damaged, repaired)]
    assert noise[1] > 2 * noise[0]
    assert noise[2] < 1.3 * noise[0]
