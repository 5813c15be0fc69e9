"""Channel equalization: one outlier channel no longer costs all others their precision.

Per-tensor int8 activations have one scale for all channels of a tensor. Where one channel is fifty times larger than
the next, the others keep a few of the 256 levels. ReLU is positively homogeneous, so between a convolution and the
convolutions that read its rectified output each channel can be rescaled freely: multiply its filter and bias by s,
divide what reads it by s, and the network computes the same function (`export.graph.regions` says what else may lie in
between). Source: Nagel et al. 2019, "Data-Free
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

from export.graph.graph import Array, OnnxGraph, attribute, make_session
from export.graph.regions import Pair, find_pairs
from quant.recipe import Equalization

# A channel is an outlier when its maximum exceeds the 98th percentile of its tensor's channels by this factor.
OUTLIER_FACTOR = 4.0
NOISE_ITERATIONS = 20  # then the factors of Lightweight OpenPose lie within 0.1 % of where they end


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A channel far above the others of its tensor before equalization."""

    tensor: str
    channel: int
    maximum: float
    next_maximum: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelStatistics:
    """What calibration images make of one tensor: per channel, (C,), its range and its mean square.

    The range, `maximum`, is that of rectified values, or from the least to the largest of others, with 0 in it.
    """

    maximum: NDArray[np.float64]
    mean_square: NDArray[np.float64]


def measure_channels(
    graph: OnnxGraph, pairs: Iterable[Pair], images: Iterable[Array]
) -> dict[str, ChannelStatistics]:
    """Run calibration images, (1, 3, H, W) each, and return the statistics of each pair's tensors."""
    probe, tensors = graph.copy(), [t for p in pairs for t in (p.tensor, *p.others)]
    names = [f"{tensor}/{what}" for tensor in tensors for what in ("max", "mean_square")]
    rectified = {n.output[0] for n in graph.nodes if n.op_type == "Relu"}
    for tensor in tensors:
        nodes = [
            # global pools read alike in every opset; the axes of ReduceMax moved to an input in 18
            *_range_nodes(tensor, rectified=tensor in rectified),
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


def _range_nodes(tensor: str, *, rectified: bool) -> list[Any]:
    """Nodes that compute ``TENSOR/max``, (1, C, 1, 1): the largest value, less the least where it is negative."""
    make = onnx.helper.make_node
    if rectified:
        return [make("GlobalMaxPool", [tensor], [f"{tensor}/max"])]
    top, low = f"{tensor}/top", f"{tensor}/low"
    return [
        make("Neg", [tensor], [f"{tensor}/negative"]),
        make("GlobalMaxPool", [tensor], [f"{top}/pool"]),
        make("GlobalMaxPool", [f"{tensor}/negative"], [f"{low}/pool"]),
        make("Relu", [f"{top}/pool"], [top]),
        make("Relu", [f"{low}/pool"], [low]),
        make("Add", [top, low], [f"{tensor}/max"]),
    ]


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
        rows = {writer: _row_weights(statistics[p.tensor]) for p in pairs for writer in p.writers}
        factors = [_factors_from_data(result, p, statistics, rows, spec.limit) for p in pairs]
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
    statistics: Mapping[str, ChannelStatistics],
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
    their own scale is free, and the result may not depend on it. Where the channels pass through several tensors, as
    before and behind a gate, the noise is that of the one that is read, and no channel may rise above the largest in
    any of them.
    """
    channels = statistics[pair.tensor]
    maximum = channels.maximum
    alive = maximum > 0
    full = np.ones_like(maximum)
    others = [statistics[t].maximum for t in pair.others]
    if alive.any():
        full[alive] = np.clip(_rise(full, [maximum, *others])[alive], 1.0, limit)
    if pair.into_depthwise or not alive.any():
        return full
    readers = [_node(graph, reader) for reader in pair.readers]
    each = [_weighted_kernel(graph, node.name, rows) for node in readers if attribute(node, "group", 1) > 1]
    whole = [_weighted_kernel(graph, node.name, rows) for node in readers if attribute(node, "group", 1) == 1]
    kernels = [k[:, alive] for k in whole]
    signal = np.sum([np.square(k).sum(axis=(0, 2, 3)) for k in kernels], axis=0)  # (alive C,)
    signal += np.sum([np.square(k).sum(axis=(1, 2, 3))[alive] for k in each], axis=0)
    energy, maximum = channels.mean_square[alive], maximum[alive]
    factors, others = 1 / maximum, [o[alive] for o in others]
    for _ in range(NOISE_ITERATIONS):
        top = (maximum * factors).max()
        steps = sum(_step_power(k / factors[None, :, None, None]) for k in kernels)
        best = ((top / 255) ** 2 * signal / (energy * max(steps, 1e-30))) ** 0.25
        best = np.minimum(best, top / maximum)
        if others:
            best = np.minimum(best, _rise(factors, others))
        factors = np.sqrt(factors * np.maximum(best, 1e-9))  # half way in octaves: damped, or it oscillates
    full[alive] = np.minimum(factors / factors.min(), limit)
    full[~alive] = _factors_of_silent(whole, full, alive)
    return full


def _rise(factors: NDArray[np.float64], ranges: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The largest factor of each channel that keeps it below the largest channel in each tensor, (C,)."""
    most = np.full_like(factors, np.inf)
    for values in ranges:
        top = (values * factors).max()
        np.minimum(most, np.divide(top, values, out=np.full_like(values, np.inf), where=values > 0), out=most)
    return most


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
    kernels = [graph.constants[_node(graph, w).input[1]].astype(np.float64) for w in pair.writers]
    before = np.max([np.abs(kernel).max(axis=(1, 2, 3)) for kernel in kernels], axis=0)
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
    for writer in pair.writers:
        conv = _node(graph, writer)
        _scale_constant(graph, conv.input[1], factors[:, None, None, None])
        if len(conv.input) > 2 and conv.input[2]:
            _scale_constant(graph, conv.input[2], factors)
    for reader in (*pair.readers, *pair.pooled):
        node = _node(graph, reader)
        shape = (-1, 1, 1, 1) if attribute(node, "group", 1) > 1 else (1, -1, 1, 1)
        _scale_constant(graph, node.input[1], (1 / factors).reshape(shape))


def _scale_constant(graph: OnnxGraph, name: str, factors: NDArray[np.float64]) -> None:
    graph.replace_constant(name, (graph.constants[name].astype(np.float64) * factors).astype(np.float32))


def _node(graph: OnnxGraph, name: str) -> Any:
    return next(n for n in graph.model.graph.node if n.name == name)
