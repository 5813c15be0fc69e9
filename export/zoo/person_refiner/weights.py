"""Published weights of the refiner's start: the convolutions of an ONNX graph, key by key."""

from __future__ import annotations

from collections.abc import Iterator

from export.weights.onnx_file import renamed
from export.weights.state import State
from export.zoo.person_refiner.module import PersonRefiner
from export.zoo.published import convolutions


def renamed_start(state: State, source: str) -> State:
    """Give the values of a start (PP-TinyPose as ONNX) the names of this network."""
    return renamed(state, convolution_keys(PersonRefiner()), source)


def convolution_keys(net: PersonRefiner) -> Iterator[str]:
    """Name the convolutions in the order in which the published graph numbers them.

    A stage's new branch starts when the stage before it is done; inside a module the units come first, branch by
    branch, then what each branch gets, from the finest source to the coarsest.
    """
    yield from convolutions(net.stem, "stem")
    yield from convolutions(net.starts[0], "starts.0")
    for number, stage in enumerate(net.stages):
        yield from convolutions(net.starts[number + 1], f"starts.{number + 1}")
        yield from convolutions(stage, f"stages.{number}")
    for number in reversed(range(len(net.head.projects))):
        yield from convolutions(net.head.projects[number], f"head.projects.{number}")
    yield "final"
