"""Rewrites before TensorFlow: the same function without the operations that XNNPACK lacks in INT8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from export.graph.from_torch import from_torch
from export.graph.graph import OnnxGraph, attribute, run
from export.graph.rewrite.passes import PASSES, rewrite
from export.zoo.hwl.module import Attention, HalfSigmoid, SqueezeExcite
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.registry import MODELS
from tests.export.blocks import HEIGHT, WIDTH, block_graph, blocks

GONE = {
    "squeeze-excite": ["HardSigmoid"],
    "attention": ["HardSigmoid"],
    "global-context": ["Softmax", "LayerNormalization", "MatMul", "Transpose", "Reshape"],
    "depthwise-transposed": ["ConvTranspose"],
    "grouped-transposed": ["ConvTranspose"],
    "branches": ["Resize"],
    "uneven-padding": ["Pad", "Cast", "Slice"],
}


def image(seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (1, 3, *size)).astype(np.float32)


def kinds(graph: OnnxGraph) -> Counter[str]:
    return Counter(n.op_type for n in graph.nodes)


def assert_same(before: OnnxGraph, after: OnnxGraph, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    onnx.checker.check_model(after.model)
    for seed in range(2):
        expected, found = run(before, image(seed, size)), run(after, image(seed, size))
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5 * np.abs(value).max(), rtol=0)


def small(net: nn.Module, size: tuple[int, int] = (HEIGHT, WIDTH), seed: int = 5) -> OnnxGraph:
    torch.manual_seed(seed)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.4)
    return from_torch(net.eval(), size[1], size[0], ["out"])


@pytest.mark.parametrize("name", list(blocks()))
def test_each_block_computes_the_same(name: str) -> None:
    before = block_graph(name)
    after, _ = rewrite(before)
    assert_same(before, after)
    assert not {*GONE.get(name, [])} & {*kinds(after)}
    assert {*GONE.get(name, [])} <= {*kinds(before)}


def test_the_original_is_not_changed() -> None:
    graph = block_graph("attention", "branches")
    before = graph.model.SerializeToString()
    rewrite(graph)
    assert graph.model.SerializeToString() == before


def test_a_second_time_there_is_nothing_left_to_do() -> None:
    once, done = rewrite(block_graph())
    assert set(done) == set(PASSES)
    assert rewrite(once)[1] == {}


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "extra", "inputs", "outputs", "groups"),
    [
        (4, 2, 1, 0, 6, 6, 6),
        (2, 2, 0, 0, 6, 6, 6),
        (3, 2, 1, 1, 6, 6, 6),
        (6, 2, 2, 0, 6, 6, 6),
        (4, 4, 0, 0, 4, 4, 4),
        (5, 3, 1, 0, 4, 4, 4),
        (4, 2, 1, 0, 8, 4, 4),
        (4, 2, 1, 0, 9, 3, 3),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_transposed_convolutions(
    kernel: int, stride: int, pad: int, extra: int, inputs: int, outputs: int, groups: int, bias: bool
) -> None:
    deconv = nn.ConvTranspose2d(inputs, outputs, kernel, stride, pad, extra, groups=groups, bias=bias)
    before = small(nn.Sequential(nn.Conv2d(3, inputs, 3, padding=1), deconv), (6, 8))
    after, done = rewrite(before)
    assert done == {"transposed convolutions split into phases": 1}
    assert kinds(after)["Conv"] == 1 + (inputs // groups) * stride**2 + (inputs // groups) * (inputs > groups)
    assert_same(before, after, (6, 8))


@pytest.mark.parametrize(
    "deconv",
    [
        nn.ConvTranspose2d(4, 4, 4, 2, 1),
        nn.ConvTranspose2d(4, 4, 3, 2, 1, groups=4),
        nn.ConvTranspose2d(4, 4, 3, 1, 1, groups=4),
        nn.ConvTranspose2d(4, 4, 4, 2, 2, dilation=1, groups=4),
    ],
    ids=["one group", "smaller output", "no stride", "much smaller output"],
)
def test_other_transposed_convolutions_stay(deconv: nn.Module) -> None:
    before = small(nn.Sequential(nn.Conv2d(3, 4, 1), deconv), (6, 8))
    after, done = rewrite(before)
    assert done == {}
    assert kinds(after) == kinds(before)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_nearest_upsampling(factor: int) -> None:
    before = small(nn.Sequential(nn.Conv2d(3, 5, 1), nn.Upsample(scale_factor=factor)), (4, 6))
    after, _ = rewrite(before)
    steps = {2: 1, 4: 2, 8: 3}[factor]
    assert kinds(after) == {"Conv": 1, "Concat": steps, "DepthToSpace": steps}
    assert_same(before, after, (4, 6))


@pytest.mark.parametrize(
    "up",
    [
        nn.Upsample(scale_factor=3),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(scale_factor=(2, 4)),
    ],
    ids=["by three", "bilinear", "uneven"],
)
def test_other_upsampling_stays(up: nn.Module) -> None:
    before = small(nn.Sequential(nn.Conv2d(3, 5, 1), up), (4, 6))
    assert rewrite(before)[1].keys() <= {"constants computed at export"}


def test_sums_of_upsampled_maps_are_taken_from_the_smallest_on() -> None:
    after, _ = rewrite(block_graph("branches"))
    assert kinds(after)["DepthToSpace"] == 3  # one for each halving, instead of 1 + 2 + 3
    assert kinds(after)["Concat"] == 3


class Unrelated(nn.Module):
    """Looks like global context, but the weights belong to another map; and a softmax over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.mask, self.out = (nn.Conv2d(3, n, 1) for n in (4, 4, 1, 4))
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> (N, 2, 1, 1)."""
        weights = torch.softmax(self.mask(x).flatten(2), dim=2).transpose(1, 2)
        context = self.a(x).flatten(2) @ weights
        mixed: torch.Tensor = self.last(context.unsqueeze(3)) + self.last(torch.softmax(self.b(x), 1)).mean(
            (2, 3), True
        )
        return mixed


def test_another_softmax_stays() -> None:
    before = small(Unrelated(), (4, 6))
    after, done = rewrite(before)
    assert "softmax over positions written out" not in done
    assert kinds(after)["Softmax"] == 2
    assert_same(before, after, (4, 6))


@pytest.mark.parametrize("gate", [nn.Hardsigmoid, HalfSigmoid])
def test_both_readings_of_the_hard_sigmoid(gate: Callable[[], nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), SqueezeExcite(8, gate), Attention(8, gate))
    before = small(net)
    after, done = rewrite(before)
    assert done["hard sigmoids clamped by their convolution"] == 3
    assert kinds(after)["Clip"] == 3
    assert_same(before, after)


def test_a_hard_sigmoid_of_a_sum_stays() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.hardsigmoid(self.a(x) + self.b(x))

    assert rewrite(small(Sum()))[1] == {}


def test_a_pool_of_negative_values_keeps_its_padding() -> None:
    before = small(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(3, 2, 1)))
    assert rewrite(before)[1] == {}


@pytest.mark.parametrize(
    "pad", [nn.ConstantPad2d(1, 0.5), nn.ReflectionPad2d(1)], ids=["with a half", "reflected"]
)
def test_other_padding_stays(pad: nn.Module) -> None:
    before = small(nn.Sequential(nn.Conv2d(3, 4, 1), pad, nn.Conv2d(4, 4, 3)))
    after, _ = rewrite(before)
    assert kinds(after)["Pad"] == 1
    assert_same(before, after)


@pytest.mark.parametrize("graph", ["omz", "osokin"])
def test_lightweight_openpose_needs_no_rewrite(graph: Literal["omz", "osokin"]) -> None:
    net = LwOpenPose(graph).eval()
    assert (
        rewrite(from_torch(net, 64, 64, [f"out{i}" for i in range(len(net(torch.zeros(1, 3, 64, 64))))]))[1]
        == {}
    )


@pytest.mark.parametrize("name", ["hwl", "hwl-hsigmoid-half", "lpn-50", "efficienthrnet-h4"])
def test_whole_networks_keep_nothing_that_xnnpack_lacks(name: str) -> None:
    torch.manual_seed(6)
    net = MODELS[name].bare()
    with torch.no_grad():
        net.train()(torch.rand(4, 3, 64, 64) - 0.5)  # batch norm statistics, somewhat
    found = net.eval()(torch.zeros(1, 3, 64, 64))
    count = 1 if isinstance(found, torch.Tensor) else len(found)
    before = from_torch(net, 64, 64, [f"out{i}" for i in range(count)])
    after, done = rewrite(before)
    lacking = {
        "HardSigmoid",
        "Resize",
        "Softmax",
        "LayerNormalization",
        "Pad",
        "Transpose",
        "Reshape",
        "MatMul",
    }
    # LPN's one padding is that of its pool, with zeros
    assert lacking & {*kinds(after)} == ({"Pad"} if name == "lpn-50" else set())
    assert all(n.op_type != "ConvTranspose" or attribute(n, "group", 1) == 1 for n in after.nodes)
    assert done
    picture = image(size=(64, 64))
    expected, rewritten = run(before, picture), run(after, picture)
    for output, value in expected.items():
        np.testing.assert_allclose(rewritten[output], value, atol=1e-4 * np.abs(value).max(), rtol=0)
