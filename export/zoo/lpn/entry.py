"""LPN as entries of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from export.zoo.crops import describe_crops
from export.zoo.entry import Entry, Facts
from export.zoo.network import Network

if TYPE_CHECKING:
    from torch import nn

Depth = Literal[50, 101, 152]
STEP = 16  # both input sides are multiples of it
# The inverse temperature of the official test; the paper's ablation has it best too: AP 69.1 against 68.9 of the
# maximum. Weights for COCO take BGR, unlike those for MPII.
DESCRIPTION = describe_crops("bgr", STEP, beta=160.0)


def _entry(depth: Depth, parameters: int, macs: int, ap: str, paper: str) -> Entry:
    def bare() -> nn.Module:
        from export.zoo.lpn.module import Lpn  # torch: not wanted for a list of names

        return Lpn(depth)

    def load(source: str) -> Network:
        from export.zoo.topdown import load_topdown

        return load_topdown(f"lpn-{depth}", bare(), DESCRIPTION, source)

    return Entry(
        summary=f"LPN-{depth}: top-down, 17 keypoints, lightweight ResNet with global context, stride 4",
        facts=Facts(
            parameters=parameters,
            macs=macs,
            size=(192, 256),
            published=f"{ap}, val2017",
            paper=f"{paper} in units of 2**30",
        ),
        description=DESCRIPTION,
        bare=bare,
        load=load,
        small_start="",
        elsewhere=f"its authors share lpn_{depth}_256x192.pth on Google Drive, "
        "see https://github.com/zhang943/lpn-pytorch",
    )


# depth, parameters, multiply-adds, published AP of val2017, the paper's numbers
_ROWS: tuple[tuple[Depth, int, int, str, str], ...] = (
    (50, 2_911_153, 1_068_144_640, "69.1", "2.7 M is its abstract's, 2.9 M its code's; 1.0 G is"),
    (101, 5_353_458, 1_504_458_752, "70.4", "1.4 G is"),
    (152, 7_377_459, 1_942_722_560, "71.0", "1.8 G is"),
)
ENTRIES = {f"lpn-{row[0]}": _entry(*row) for row in _ROWS}
