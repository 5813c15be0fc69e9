"""Published weights of the refiner's start: the convolutions of an ONNX graph, key by key."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from export.weights.find import Weights
from export.weights.module import load_state
from export.weights.onnx_file import renamed
from export.weights.state import State
from export.zoo.person_refiner.module import Refiner


def load_refiner(weights: Weights) -> Refiner:
    """Return the network with weights of its own names, or with those of its start (PP-TinyPose as ONNX)."""
    net = Refiner()
    load_state(net, adopted(weights.state, weights.source), weights.source)
    return net


def adopted(state: State, source: str) -> State:
    """Give the values of a start this network's names; weights that have them stay as they are."""
    if "final.weight" in state:
        return state
    return renamed(state, convolution_keys(Refiner()), source)


def convolution_keys(net: Refiner) -> Iterator[str]:
    """Name the convolutions in the order in which the published graph numbers them.

    A stage's new branch starts when the stage before it is done; inside a module the units come first, branch by
    branch, then what each branch gets, from the finest source to the coarsest.
    """
    yield from _inside(net.stem, "stem")
    yield from _inside(net.starts[0], "starts.0")
    for number, stage in enumerate(net.stages):
        yield from _inside(net.starts[number + 1], f"starts.{number + 1}")
        yield from _inside(stage, f"stages.{number}")
    for number in reversed(range(len(net.head.projects))):
        yield from _inside(net.head.projects[number], f"head.projects.{number}")
    yield "final"


def _inside(part: nn.Module, name: str) -> Iterator[str]:
    """Name the convolutions of a part in the order of its definition, which is that of its execution."""
    for key, module in part.named_modules(prefix=name):
        if isinstance(module, nn.Conv2d):
            yield key
