"""The sizes of EfficientHRNet."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

Name = Literal["h0", "h-1", "h-2", "h-3", "h-4"]

JOINTS, STEP = 17, 32  # both input sides are multiples of STEP
STRIDES = (4, 2)  # of the two outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One size of the network, as in the configurations of the repository.

    Attributes
    ----------
    phi : int
        Compound coefficient, 0 down to -4; gives the branches' widths.
    size : int
        Pixels a side of the square input it was trained on.
    width, depth : float
        Multipliers of EfficientNet-B0's channels and repeats.
    modules : tuple of int
        High-resolution modules in stages 2, 3 and 4.
    """

    phi: int
    size: int
    width: float
    depth: float
    modules: tuple[int, int, int]

    @property
    def branches(self) -> tuple[int, ...]:
        """Channels of the four resolutions; the paper's text says 1.25, its table and the code 1.2455."""
        return tuple(ceil(base * 1.2455**self.phi) for base in (32, 64, 128, 256))


SCALES: dict[Name, Scale] = {
    "h0": Scale(phi=0, size=512, width=1.0, depth=1.0, modules=(1, 4, 3)),
    "h-1": Scale(phi=-1, size=480, width=0.909, depth=0.833, modules=(1, 3, 3)),
    "h-2": Scale(phi=-2, size=448, width=0.826, depth=0.694, modules=(1, 2, 3)),
    "h-3": Scale(phi=-3, size=416, width=0.751, depth=0.578, modules=(1, 1, 3)),
    "h-4": Scale(phi=-4, size=384, width=0.684, depth=0.483, modules=(1, 1, 2)),
}
