"""HWL as an entry of the zoo."""

from __future__ import annotations

from export.weights.find import find_weights
from export.zoo.hwl.module import STEP, HardSigmoid, Hwl
from export.zoo.network import Network
from export.zoo.topdown import topdown
from quant.progress import Progress


def hwl(name: str, hard_sigmoid: HardSigmoid, source: str, progress: Progress) -> Network:
    """Read weights and return the network; weights do not tell which hard sigmoid they were trained with."""
    weights = find_weights(source, {}, progress)
    return topdown(name, Hwl(hard_sigmoid=hard_sigmoid), weights, step=STEP, channels="rgb")
