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

NAME = "person-refiner"
WIDTH, HEIGHT = 96, 128  # usual input
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


def _description() -> Description:
    crops = describe_crops("rgb", STEP)
    return replace(crops, input=replace(crops.input, width=WIDTH, height=HEIGHT), decoder=DECODER)


DESCRIPTION = _description()


def _bare() -> nn.Module:
    from export.zoo.person_refiner.module import PersonRefiner  # torch: not wanted for a list of names

    return PersonRefiner()


def _adopt(state: State, source: str) -> State:
    """Give a start's values this network's names; weights that have them stay as they are."""
    if "final.weight" in state:
        return state
    from export.zoo.person_refiner.weights import renamed_start  # torch: not wanted for weights of our own

    return renamed_start(state, source)


ENTRIES = {
    NAME: Entry(
        summary="Refiner of the pair: top-down, 17 keypoints, Lite-HRNet with channel shuffle, stride 4",
        facts=Facts(
            parameters=1_300_177,
            macs=75_582_912,
            size=(WIDTH, HEIGHT),
            published="in its card, trained here from PP-TinyPose 128x96",
        ),
        description=DESCRIPTION,
        bare=_bare,
        load=stored_loader(NAME, Path(__file__).with_name(NAME), DESCRIPTION, bundled=NAME, adopt=_adopt),
        adopt=_adopt,
        elsewhere="they come with the package, or from python -m export.train person-refiner --output DIR",
        bundled=NAME,
    )
}
