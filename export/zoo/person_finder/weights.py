"""Published weights of the finder's start: the convolutions of an ONNX graph, key by key."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from export.weights.onnx_file import renamed
from export.weights.state import State
from export.zoo.person_finder.entry import STRIDES
from export.zoo.person_finder.module import Finder


def renamed_start(state: State, source: str) -> State:
    """Give the values of a start (rtmdet-nano as ONNX) the names of this network."""
    return renamed(state, convolution_keys(Finder()), source)


def convolution_keys(net: Finder) -> Iterator[str]:
    """Name the convolutions in the order of the published graph."""
    yield from _inside(net.backbone, "backbone")
    neck = net.neck
    for number in range(2):
        yield from _inside(neck.reduce[number], f"neck.reduce.{number}")
        yield from _inside(neck.down[number], f"neck.down.{number}")
    for number in range(2):
        yield from _inside(neck.shrink[number], f"neck.shrink.{number}")
        yield from _inside(neck.up[number], f"neck.up.{number}")
    yield from _inside(neck.outs, "neck.outs")
    for level in range(len(STRIDES)):
        yield from _inside(net.score_towers[level], f"score_towers.{level}")
        yield f"scores.{level}"
        yield from _inside(net.side_towers[level], f"side_towers.{level}")
        yield f"sides.{level}"


def _inside(part: nn.Module, name: str) -> Iterator[str]:
    """Name the convolutions of a part in the order of its definition, which is that of its execution."""
    for key, module in part.named_modules(prefix=name):
        if isinstance(module, nn.Conv2d):
            yield key
