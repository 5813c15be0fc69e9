"""Published weights of the finder's start: the convolutions of an ONNX graph, key by key."""

from __future__ import annotations

from collections.abc import Iterator

from export.weights.onnx_file import renamed
from export.weights.state import State
from export.zoo.person_finder.entry import STRIDES
from export.zoo.person_finder.module import Finder
from export.zoo.published import convolutions


def renamed_start(state: State, source: str) -> State:
    """Give the values of a start (rtmdet-nano as ONNX) the names of this network."""
    return renamed(state, convolution_keys(Finder()), source)


def convolution_keys(net: Finder) -> Iterator[str]:
    """Name the convolutions in the order of the published graph."""
    yield from convolutions(net.backbone, "backbone")
    neck = net.neck
    for number in range(2):
        yield from convolutions(neck.reduce[number], f"neck.reduce.{number}")
        yield from convolutions(neck.down[number], f"neck.down.{number}")
    for number in range(2):
        yield from convolutions(neck.shrink[number], f"neck.shrink.{number}")
        yield from convolutions(neck.up[number], f"neck.up.{number}")
    yield from convolutions(neck.outs, "neck.outs")
    for level in range(len(STRIDES)):
        yield from convolutions(net.score_towers[level], f"score_towers.{level}")
        yield f"scores.{level}"
        yield from convolutions(net.side_towers[level], f"side_towers.{level}")
        yield f"sides.{level}"
