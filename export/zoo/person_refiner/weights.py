"""Published weights of the refiner's start: the convolutions of an ONNX graph, key by key."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from export.weights.onnx_file import renamed
from export.weights.state import State
from export.zoo.person_refiner.module import Refiner


def renamed_start(state: State, source: str) -> State:
    """Give the values of a start (PP-TinyPose as ONNX) the names of this network."""
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
