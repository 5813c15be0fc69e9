"""EfficientHRNet as entries of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from export.zoo.description import Description
from export.zoo.efficienthrnet.scales import JOINTS, SCALES, STEP, STRIDES, Name
from export.zoo.entry import Entry, Facts
from export.zoo.inputs import IMAGENET_MEAN, IMAGENET_SCALE
from export.zoo.network import Network
from export.zoo.skeletons import COCO_17, COCO_17_FLIP_PAIRS, TAG_JOINT_ORDER
from rpi_runtime.model.card import InputSpec, OutputSpec
from rpi_runtime.model.decoders import TagSettings

if TYPE_CHECKING:
    from torch import nn

Role = Literal["heatmaps", "tags"]
# the thresholds of the repository's configurations are the card's defaults
DECODER = TagSettings(joint_order=TAG_JOINT_ORDER, flip_pairs=COCO_17_FLIP_PAIRS)


def describe(side: int, *, tags_twice: bool = False) -> Description:
    """Describe the network with a square input: heatmaps and tags by stride, in the form's order.

    Parameters
    ----------
    side : int
        Pixels.
    tags_twice : bool
        Whether the second output, of stride 2, holds tags as well; weights with either width are published.
    """
    coarse, fine = STRIDES
    parts: list[tuple[Role, int]] = [
        ("heatmaps", coarse),
        ("tags", coarse),
        ("heatmaps", fine),
        ("tags", fine),
    ]
    return Description(
        input=InputSpec(
            width=side, height=side, channels="rgb", mean=IMAGENET_MEAN, scale=IMAGENET_SCALE, pad_value=0
        ),
        skeleton=COCO_17,
        outputs=tuple(
            OutputSpec(name=f"{role}_{stride}", role=role, channels=JOINTS, stride=stride)
            for role, stride in parts[: 4 if tags_twice else 3]
        ),
        decoder=DECODER,
        step=STEP,
    )


def _entry(name: Name, parameters: int, macs: int, ap: str, million: str, giga: str) -> Entry:
    side = SCALES[name].size

    def load(source: str) -> Network:
        from export.zoo.efficienthrnet.network import load_network  # torch: not wanted for a list of names

        return load_network(name, source)

    def bare() -> nn.Module:
        from export.zoo.efficienthrnet.module import EfficientHRNet

        return EfficientHRNet(name)

    return Entry(
        summary=f"EfficientHRNet {name.upper()}: bottom-up, 17 keypoints, strides 4 and 2",
        facts=Facts(
            parameters=parameters,
            macs=macs,
            size=(side, side),
            published=f"{ap}, val2017",
            paper=f"its {million} M count the backbone twice; "
            f"its {giga} G lie between this and this with a second backbone",
        ),
        description=describe(side),
        bare=bare,
        load=load,
        small_start="",
        elsewhere="its authors share them on Google Drive, see https://github.com/TeCSAR-UNCC/EfficientHRNet",
    )


def zoo_name(name: Name) -> str:
    """Return the name in the zoo: ``efficienthrnet-h4`` for ``h-4``."""
    return f"efficienthrnet-{name.replace('-', '')}"


# name, parameters, multiply-adds, published AP of val2017, the paper's M and G
_ROWS: tuple[tuple[Name, int, int, str, str, str], ...] = (
    ("h0", 19_725_359, 23_958_286_848, "64.8", "23.3", "25.6"),
    ("h-1", 13_004_446, 13_130_000_048, "59.2 (tested at 512)", "16", "14.2"),
    ("h-2", 8_263_495, 7_029_956_920, "52.9", "10.3", "7.7"),
    ("h-3", 5_360_390, 3_758_983_969, "44.8 (tested at 448)", "6.9", "4.2"),
    ("h-4", 2_764_706, 1_807_480_224, "35.7", "3.7", "2.1"),
)
ENTRIES = {zoo_name(row[0]): _entry(*row) for row in _ROWS}
