"""Where the windows of convolutions and pools lie: kernel, strides, dilations and paddings as ONNX describes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from export.graph.convert.refusal import RefusalError
from export.graph.node import Node

Two = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Along height and width.

    Attributes
    ----------
    kernel, strides, dilations : (int, int)
    before, after : (int, int)
        Padding at top and left, at bottom and right.
    """

    kernel: Two
    strides: Two
    dilations: Two
    before: Two
    after: Two

    @property
    def extent(self) -> Two:
        """What a window covers."""
        height, width = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        return height, width

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any((*self.before, *self.after))

    def same(self, size: Two) -> bool:
        """Whether TFLite's SAME pads a map of this size in just this way."""
        return (self.before, self.after) == same_padding(size, self.extent, self.strides)

    def reaching(self, size: Two, target: Two) -> Windows:
        """These windows, padded behind as far as an output of this size needs and no further."""
        bottom, right = (
            max((t - 1) * s + e - n - b, 0)
            for t, s, e, n, b in zip(target, self.strides, self.extent, size, self.before, strict=True)
        )
        return replace(self, after=(bottom, right))

    def output(self, size: Two) -> Two:
        """The size of the result, rounded down."""
        height, width = (
            (n + b + a - e) // s + 1
            for n, b, a, e, s in zip(size, self.before, self.after, self.extent, self.strides, strict=True)
        )
        return height, width


def same_padding(size: Two, extent: Two, strides: Two, late: bool = True) -> tuple[Two, Two]:
    """The padding that keeps ``ceil(size / stride)``; an odd one goes behind where it is `late`, as in TFLite."""
    before, after = [], []
    for n, e, s in zip(size, extent, strides, strict=True):
        total = max((ceil(n / s) - 1) * s + e - n, 0)
        small, large = total // 2, total - total // 2
        before.append(small if late else large)
        after.append(large if late else small)
    return (before[0], before[1]), (after[0], after[1])


def windows_of(node: Node, size: Two, kernel: Two) -> Windows:
    """Read a node's windows over a map of this size; one axis of a 1-D node stands for the width."""
    strides, dilations = (_two(node.get(name, ())) for name in ("strides", "dilations"))
    pads = [int(n) for n in node.get("pads", ())]
    if len(pads) == 2:
        pads = [0, pads[0], 0, pads[1]]
    pads = pads or [0, 0, 0, 0]
    result = Windows(
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        before=(pads[0], pads[1]),
        after=(pads[2], pads[3]),
    )
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        before, after = same_padding(size, result.extent, strides, auto == "SAME_UPPER")
        return Windows(kernel=kernel, strides=strides, dilations=dilations, before=before, after=after)
    if auto == "VALID":
        return Windows(kernel=kernel, strides=strides, dilations=dilations, before=(0, 0), after=(0, 0))
    if auto != "NOTSET":
        raise RefusalError(f"its auto_pad is {auto!r}; expected NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return result


def _two(values: tuple[int, ...]) -> Two:
    whole = [int(v) for v in values] or [1, 1]
    if len(whole) > 2:
        raise RefusalError(f"it works along {len(whole)} axes; expected one or two")
    return (1, whole[0]) if len(whole) == 1 else (whole[0], whole[1])
