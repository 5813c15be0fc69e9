"""All rewrites in their order."""

from __future__ import annotations

from collections.abc import Callable

from export.graph.graph import OnnxGraph
from export.graph.rewrite.constants import fold_constants
from export.graph.rewrite.context import average_before_softmax, write_out_layer_norms
from export.graph.rewrite.gates import clamp_hard_sigmoids, join_gated_sums
from export.graph.rewrite.padding import fold_pads, pad_before_pools
from export.graph.rewrite.transposed import split_transposed
from export.graph.rewrite.upsampling import split_upsampling

PASSES: dict[str, Callable[[OnnxGraph], int]] = {
    "constants computed at export": fold_constants,
    "paddings moved into convolutions": fold_pads,
    "pools padded with zeros": pad_before_pools,
    "softmax over positions written out": average_before_softmax,
    "layer norms written out": write_out_layer_norms,
    "hard sigmoids clamped by their convolution": clamp_hard_sigmoids,
    "sums of gated maps joined": join_gated_sums,
    "nearest upsamplings interleaved": split_upsampling,
    "transposed convolutions split into phases": split_transposed,
}


def rewrite(graph: OnnxGraph) -> tuple[OnnxGraph, dict[str, int]]:
    """Return a copy that computes the same in operations that XNNPACK takes, and what was done how often."""
    result = graph.copy()
    done = {name: apply(result) for name, apply in PASSES.items()}
    result.drop_unused()
    return result, {name: count for name, count in done.items() if count}
