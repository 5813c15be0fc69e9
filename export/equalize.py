"""Channel equalization: one outlier channel no longer costs all others their precision.

Per-tensor int8 activations have one scale for all channels of a tensor. Where one channel is fifty times larger than
the next, the others keep a few of the 256 levels. ReLU is positively homogeneous, so between a convolution and the
convolutions that read its rectified output each channel can be rescaled freely: multiply its filter and bias by s,
divide what reads it by s, and the network computes the same function. Source: Nagel et al. 2019, "Data-Free
Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721, section 4.1; there from weights, here
by default from activations on calibration images, with the s that makes the noise smallest (`_factors_from_data`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.onnx_graph import Array, OnnxGraph, attribute, make_session
from quant.outcome import Outlier
from quant.recipe import Equalization

# A channel is an outlier when its maximum exceeds the 98th percentile of its tensor's channels by this factor.
OUTLIER_FACTOR = 4.0
NOISE_ITERATIONS = 20  # then the factors of Lightweight OpenPose lie within 0.1 % of where they end


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A convolution, its rectified output, and the convolutions that alone read it."""

    first: str
    tensor: str
    readers: tuple[str, ...]
    into_depthwise: bool


def find_pairs(graph: OnnxGraph) -> list[Pair]:
    """Return every Conv -> Relu -> Conv where the ReLU's output goes to convolutions and nowhere else."""
    consumers, pairs = graph.consumers(), []
    for conv in [n for n in graph.nodes if n.op_type == "Conv" and _owns_constants(graph, n, consumers)]:
        after = consumers.get(conv.output[0], [])
        if len(after) != 1 or after[0].op_type != "Relu" or conv.output[0] in graph.outputs:
            continue
        tensor = after[0].output[0]
        second = consumers.get(tensor, [])
        if (
            not second
            or tensor in graph.outputs
            or not all(_takes(graph, n, tensor, consumers) for n in second)
        ):
            continue
        depthwise = all(attribute(n, "group", 1) > 1 for n in second)
        readers = tuple(n.name for n in second)
        pairs.append(Pair(first=conv.name, tensor=tensor, readers=readers, into_depthwise=depthwise))
    return pairs


def _owns_constants(graph: OnnxGraph, conv: Any, consumers: dict[str, list[Any]]) -> bool:
    """Whether a convolution's weights and bias are constants that nothing else reads."""
    return all(n in graph.constants and len(consumers[n]) == 1 for n in conv.input[1:] if n)


def _takes(graph: OnnxGraph, node: Any, tensor: str, consumers: dict[str, list[Any]]) -> bool:
    """Whether a node is a convolution whose input channels can be rescaled: ordinary or depthwise."""
    if node.op_type != "Conv" or node.input[0] != tensor or not _owns_constants(graph, node, consumers):
        return False
    kernel = graph.constants[node.input[1]]
    group = attribute(node, "group", 1)
    return bool(group == 1 or kernel.shape[1] == 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelStatistics:
    """What calibration images make of one rectified tensor: per channel, (C,), its maximum and its mean square."""

    maximum: NDArray[np.float64]
    mean_square: NDArray[np.float64]


def measure_channels(
    graph: OnnxGraph, pairs: Iterable[Pair], images: Iterable[Array]
) -> dict[str, ChannelStatistics]:
    """Run calibration images, (1, 3, H, W) each, and return the statistics of each pair's tensor."""
    probe, tensors = graph.copy(), [p.tensor for p in pairs]
    names = [f"{tensor}/{what}" for tensor in tensors for what in ("max", "mean_square")]
    for tensor in tensors:
        nodes = [
            # global pools read alike in every opset; the axes of ReduceMax moved to an input in 18
            onnx.helper.make_node("GlobalMaxPool", [tensor], [f"{tensor}/max"]),
            onnx.helper.make_node("Mul", [tensor, tensor], [f"{tensor}/square"]),
            onnx.helper.make_node("GlobalAveragePool", [f"{tensor}/square"], [f"{tensor}/mean_square"]),
        ]
        probe.model.graph.node.extend(nodes)
    probe.model.graph.output.extend(onnx.helper.make_tensor_value_info(n, 1, None) for n in names)
    session = make_session(probe)
    runs = [[v.reshape(-1) for v in session.run(names, {"image": image})] for image in images]
    maxima = [np.max([r[2 * i] for r in runs], axis=0).astype(np.float64) for i in range(len(tensors))]
    squares = [np.mean([r[2 * i + 1] for r in runs], axis=0, dtype=np.float64) for i in range(len(tensors))]
    return {
        t: ChannelStatistics(maximum=m, mean_square=q)
        for t, m, q in zip(tensors, maxima, squares, strict=True)
    }


def find_outliers(statistics: dict[str, ChannelStatistics]) -> list[Outlier]:
    """Return the channels far above the others of their tensor."""
    found = []
    for tensor, channels in statistics.items():
        values = channels.maximum
        usual = float(np.percentile(values, 98, method="lower"))  # not between the last two, of 24
        for channel in np.flatnonzero(values > OUTLIER_FACTOR * max(usual, 1e-12)):
            others = values[values < values[channel]]
            found.append(
                Outlier(
                    tensor=tensor,
                    channel=int(channel),
                    maximum=float(values[channel]),
                    next_maximum=float(others.max(initial=0.0)),
                )
            )
    return found


def equalize(
    graph: OnnxGraph, spec: Equalization, statistics: dict[str, ChannelStatistics] | None
) -> OnnxGraph:
    """Return an equalized copy that computes the same function.

    Parameters
    ----------
    graph : OnnxGraph
        Batch norm folded.
    spec : Equalization
    statistics : dict of str to ChannelStatistics, optional
        From `measure_channels`; needed with source "data".
    """
    result = graph.copy()
    if spec.source == "off":
        return result
    pairs = find_pairs(result)
    if spec.source == "data":
        assert statistics is not None
        # all factors first: the rows of a reader's kernel change when the pair that begins with it is rescaled
        rows = {p.first: _row_weights(statistics[p.tensor]) for p in pairs}
        factors = [_factors_from_data(result, p, statistics[p.tensor], rows, spec.limit) for p in pairs]
        for pair, values in zip(pairs, factors, strict=True):
            rescale(result, pair, values)
        return result
    for _ in range(spec.passes):
        for pair in pairs:
            rescale(result, pair, _factors_from_weights(result, pair, spec.limit))
    return result


def _row_weights(channels: ChannelStatistics) -> NDArray[np.float64]:
    """How much noise in each output channel of a kernel matters: relative to what the channel carries, (O,)."""
    return np.divide(1.0, channels.maximum, out=np.zeros_like(channels.maximum), where=channels.maximum > 0)


def _factors_from_data(
    graph: OnnxGraph,
    pair: Pair,
    channels: ChannelStatistics,
    rows: Mapping[str, NDArray[np.float64]],
    limit: float,
) -> NDArray[np.float64]:
    """Return the factors that make the quantization noise in the readers' outputs smallest, (C,).

    A depthwise reader has a weight scale per channel, so raising every channel to the largest costs nothing. An
    ordinary reader has one weight scale per output o for all inputs c, and what activations gain its weights lose.
    With M the largest scaled maximum, activation steps are M / 255 and weight steps D_o = max_c |W_oc| / s_c / 127, so
    channel c adds a noise power proportional to

        (M / 255)^2 sum_o W_oc^2 / s_c^2  +  s_c^2 E[x_c^2] sum_o D_o^2

    whose minimum is at s_c^4 = (M / 255)^2 sum_o W_oc^2 / (E[x_c^2] sum_o D_o^2). M and D_o depend on s: iterated.
    Rows of W are taken relative to the maxima of the channels that they make, where those are rectified and known:
    their own scale is free, and the result may not depend on it.
    """
    maximum = channels.maximum
    alive = maximum > 0
    full = np.ones_like(maximum)
    if alive.any():
        full[alive] = np.clip(maximum.max() / maximum[alive], 1.0, limit)
    if pair.into_depthwise or not alive.any():
        return full
    readers = [_node(graph, reader) for reader in pair.readers]
    each = [_weighted_kernel(graph, node.name, rows) for node in readers if attribute(node, "group", 1) > 1]
    whole = [_weighted_kernel(graph, node.name, rows) for node in readers if attribute(node, "group", 1) == 1]
    kernels = [k[:, alive] for k in whole]
    signal = np.sum([np.square(k).sum(axis=(0, 2, 3)) for k in kernels], axis=0)  # (alive C,)
    signal += np.sum([np.square(k).sum(axis=(1, 2, 3))[alive] for k in each], axis=0)
    energy, maximum = channels.mean_square[alive], maximum[alive]
    factors = 1 / maximum
    for _ in range(NOISE_ITERATIONS):
        top = (maximum * factors).max()
        steps = sum(_step_power(k / factors[None, :, None, None]) for k in kernels)
        best = ((top / 255) ** 2 * signal / (energy * max(steps, 1e-30))) ** 0.25
        best = np.minimum(best, top / maximum)
        factors = np.sqrt(factors * np.maximum(best, 1e-9))  # half way in octaves: damped, or it oscillates
    full[alive] = np.minimum(factors / factors.min(), limit)
    full[~alive] = _factors_of_silent(whole, full, alive)
    return full


def _factors_of_silent(
    kernels: list[NDArray[np.float64]], factors: NDArray[np.float64], alive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Factors for channels that no calibration image woke: their weights may not widen any output's weight scale."""
    silent = np.full(int(np.count_nonzero(~alive)), 1e-12)
    for kernel in kernels:
        columns = np.abs(kernel).max(axis=(2, 3))  # (O, C)
        rows = (columns[:, alive] / factors[alive]).max(axis=1)
        used = rows > 0
        silent = np.maximum(silent, (columns[used][:, ~alive] / rows[used, None]).max(axis=0, initial=0.0))
    return silent


def _weighted_kernel(
    graph: OnnxGraph, reader: str, rows: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    kernel = graph.constants[_node(graph, reader).input[1]].astype(np.float64)
    return kernel * rows[reader][:, None, None, None] if reader in rows else kernel


def _step_power(kernel: NDArray[np.float64]) -> float:
    """Sum over outputs and taps of the squared weight steps."""
    steps = np.abs(kernel).max(axis=(1, 2, 3)) / 127
    return float(np.square(steps).sum() * kernel.shape[2] * kernel.shape[3])


def _factors_from_weights(graph: OnnxGraph, pair: Pair, limit: float) -> NDArray[np.float64]:
    """Make the weight ranges before and after each channel equal: s = sqrt(r2 / r1), Nagel et al. equation 11."""
    kernel = graph.constants[_node(graph, pair.first).input[1]].astype(np.float64)
    before = np.abs(kernel).max(axis=(1, 2, 3))
    after = np.max([_input_range(graph, _node(graph, r)) for r in pair.readers], axis=0)
    alive = (before > 0) & (after > 0)
    factors = np.ones_like(before)
    factors[alive] = np.clip(np.sqrt(after[alive] / before[alive]), 1 / limit, limit)
    return np.asarray(factors)


def _input_range(graph: OnnxGraph, conv: Any) -> NDArray[np.float64]:
    kernel = np.abs(graph.constants[conv.input[1]].astype(np.float64))
    if attribute(conv, "group", 1) > 1:
        return np.asarray(kernel.reshape(kernel.shape[0], -1).max(axis=1))
    return np.asarray(kernel.max(axis=(0, 2, 3)))


def rescale(graph: OnnxGraph, pair: Pair, factors: NDArray[np.float64]) -> None:
    """Multiply a pair's channels by `factors`, (C,), and divide what reads them, in place."""
    conv = _node(graph, pair.first)
    _scale_constant(graph, conv.input[1], factors[:, None, None, None])
    if len(conv.input) > 2 and conv.input[2]:
        _scale_constant(graph, conv.input[2], factors)
    for reader in pair.readers:
        node = _node(graph, reader)
        shape = (-1, 1, 1, 1) if attribute(node, "group", 1) > 1 else (1, -1, 1, 1)
        _scale_constant(graph, node.input[1], (1 / factors).reshape(shape))


def _scale_constant(graph: OnnxGraph, name: str, factors: NDArray[np.float64]) -> None:
    graph.replace_constant(name, (graph.constants[name].astype(np.float64) * factors).astype(np.float32))


def _node(graph: OnnxGraph, name: str) -> Any:
    return next(n for n in graph.model.graph.node if n.name == name)
