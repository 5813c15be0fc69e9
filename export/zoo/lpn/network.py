"""LPN as an entry of the zoo."""

from __future__ import annotations

from export.weights.find import find_weights
from export.zoo.lpn.module import STEP, Depth, Lpn
from export.zoo.network import Network
from export.zoo.topdown import topdown
from quant.progress import Progress

# Of the official test; the paper's ablation has it best too: AP 69.1 against 68.9 of the maximum.
BETA = 160.0


def lpn(depth: Depth, source: str, progress: Progress) -> Network:
    """Read weights and return the network; those for COCO take BGR, unlike those for MPII."""
    weights = find_weights(source, {}, progress)
    return topdown(f"lpn-{depth}", Lpn(depth), weights, step=STEP, channels="bgr", beta=BETA)
