"""The finder as an entry of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.weights.state import State
from export.zoo.description import Description
from export.zoo.entry import Entry, Facts, Trainable, stored_loader
from rpi_runtime.model.card import InputSpec, OutputSpec, Skeleton
from rpi_runtime.model.decoders import BoxSettings

if TYPE_CHECKING:
    from torch import nn

NAME = "person-finder"
WIDTH, HEIGHT = 320, 320  # usual input
STRIDES, STEP = (8, 16, 32), 32  # of the outputs; both input sides are multiples of STEP
SIDES = 4  # left, top, right, bottom
DESCRIPTION = Description(
    # ImageNet's statistics, blue first, and the grey beside the picture that its start was trained with
    input=InputSpec(
        width=WIDTH,
        height=HEIGHT,
        mean=(103.53, 116.28, 123.675),
        scale=(1 / 57.375, 1 / 57.12, 1 / 58.395),
        pad_value=114,
    ),
    skeleton=Skeleton(),
    outputs=tuple(
        spec
        for stride in STRIDES
        for spec in (
            OutputSpec(name=f"scores_{stride}", role="scores", channels=1, stride=stride),
            OutputSpec(name=f"boxes_{stride}", role="boxes", channels=SIDES, stride=stride),
        )
    ),
    # Distances count from a cell's first corner; from its middle, AP of boxes falls from 51 to 12.
    # Training with rounding has lowered the scores: on 93 held-out pictures of train2017, the people above 0.27 are as
    # many and as right (precision .67) as those of the start above its 0.3 (.68), those above 0.3 are fewer (.76).
    decoder=BoxSettings(anchor=0.0, threshold=0.27),
    step=STEP,
)


def _bare() -> nn.Module:
    from export.zoo.person_finder.module import Finder  # torch: not wanted for a list of names

    return Finder()


def _bare_relu() -> nn.Module:
    from export.zoo.person_finder.module import Finder

    return Finder("relu")


def _adopt(state: State, source: str) -> State:
    """Give a start's values this network's names; weights that have them stay as they are."""
    if "scores.0.weight" in state:
        return state
    from export.zoo.person_finder.weights import renamed_start  # torch: not wanted for weights of our own

    return renamed_start(state, source)


ENTRIES = {
    NAME: Entry(
        summary="Finder of the pair: a detector of people, RTMDet's smallest form, strides 8 to 32",
        facts=Facts(
            parameters=985_927,
            macs=308_035_840,
            size=(WIDTH, HEIGHT),
            published="none, boxes only; in its card, trained here from rtmdet-nano",
        ),
        description=DESCRIPTION,
        bare=_bare,
        load=stored_loader(NAME, Path(__file__).with_name(NAME), DESCRIPTION, bundled=NAME, adopt=_adopt),
        adopt=_adopt,
        elsewhere="they come from python -m export.train person-finder --output DIR",
        bundled=NAME,
    )
}
# ReLU for SiLU, which costs an INT8 file two more operations over every map
CANDIDATES = {f"{NAME}-relu": Trainable(description=DESCRIPTION, bare=_bare_relu, adopt=_adopt)}
