"""The refiner as an entry of the zoo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.weights.state import State
from export.zoo.crops import describe_crops
from export.zoo.description import Description
from export.zoo.entry import Entry, Facts, stored_loader
from export.zoo.skeletons import COCO_17_FLIP_PAIRS
from rpi_runtime.model.decoders import TopdownSettings

if TYPE_CHECKING:
    from torch import nn

GRAPH = "person-refiner"
STEP = 32  # both input sides are multiples of it
JOINTS = 17
# Cell i stands for position 4 i + 0.16 of the crop, measured on the weights that training starts from; half a cell
# costs 10 AP at 96x128. They were trained with crops whose middle lies between pixels, shrunk by area.
DECODER = TopdownSettings(
    quarter_offset=False,
    parabola=True,
    cell_origin=0.16,
    box_middle="edge",
    area_below=0.6,
    flip_pairs=COCO_17_FLIP_PAIRS,
)


def _description(width: int, height: int) -> Description:
    crops = describe_crops("rgb", STEP)
    return replace(crops, input=replace(crops.input, width=width, height=height), decoder=DECODER)


def _bare() -> nn.Module:
    from export.zoo.person_refiner.module import PersonRefiner  # torch: not wanted for a list of names

    return PersonRefiner()


def _adopt(state: State, source: str) -> State:
    """Give a start's values this network's names; weights that have them stay as they are."""
    if "final.weight" in state:
        return state
    from export.zoo.person_refiner.weights import renamed_start  # torch: not wanted for weights of our own

    return renamed_start(state, source)


def _entry(name: str, size: tuple[int, int], macs: int, what: str) -> Entry:
    width, height = size
    description = _description(width, height)
    return Entry(
        summary=f"{what} of the pair: top-down, 17 keypoints, Lite-HRNet with channel shuffle, stride 4",
        facts=Facts(
            parameters=1_300_177,
            macs=macs,
            size=size,
            published=f"in its card, trained here from PP-TinyPose {height}x{width}",
        ),
        description=description,
        bare=_bare,
        load=stored_loader(name, Path(__file__).with_name(GRAPH), description, bundled=name, adopt=_adopt),
        adopt=_adopt,
        elsewhere=f"they come with the package, or from python -m export.train {name} --output DIR",
        bundled=name,
    )


# One network at two sizes, each with weights of its own: what one size has learned is worth little at the other (AP
# 66 at 192x256 is 5 at 96x128).
ENTRIES = {
    name: _entry(name, size, macs, what)
    for name, size, macs, what in (
        ("person-refiner", (96, 128), 75_582_912, "Refiner"),
        ("person-refiner-large", (192, 256), 302_331_648, "More accurate refiner"),
    )
}
