"""The model zoo by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from export.weights.bundled import BUNDLED, is_bundled
from export.weights.download import Source
from export.zoo.lw_openpose.sources import SOURCES as LW_OPENPOSE_SOURCES
from export.zoo.network import Network
from quant.progress import Progress
from rpi_runtime.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from torch import nn

    from export.zoo.efficienthrnet.module import Name
    from export.zoo.hwl.module import HardSigmoid
    from export.zoo.lpn.module import Depth

Loader = Callable[[str, Progress], Network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a network without its weights.

    Attributes
    ----------
    parameters : int
    macs : int
        Multiply-adds of convolutions at `size`, as `export.macs` counts them.
    size : (int, int)
        Width and height of the input that it was published for.
    decoder : {"paf", "tags", "topdown"}
    published : str
        AP of its authors, and on what.
    paper : str
        Why the paper has other numbers, where it does.
    """

    parameters: int
    macs: int
    size: tuple[int, int]
    decoder: Literal["paf", "tags", "topdown"]
    published: str
    paper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One network of the zoo.

    Attributes
    ----------
    summary : str
    facts : Facts
    load : callable
        Weights source and progress to a `Network` with its weights in it.
    bare : callable
        The network itself, without trained weights.
    sources : mapping of str to Source
        Where trained weights are published; the first is the default.
    elsewhere : str
        Where a user gets weights when `sources` is empty.
    bundled : str
        Name under which weights may come with the package; they are the default then.
    """

    summary: str
    facts: Facts
    load: Loader
    bare: Callable[[], nn.Module]
    sources: Mapping[str, Source] = field(default_factory=dict)
    elsewhere: str = ""
    bundled: str = ""

    @property
    def default_source(self) -> str:
        """The name of the source that is used when none is given; `WeightsError` when there is none."""
        if self.bundled and is_bundled(self.bundled):
            return BUNDLED
        if not self.sources:
            raise WeightsError(
                f"{self.summary.partition(':')[0]}: no weights that can be fetched from here; {self.elsewhere}, "
                "then give --weights FILE"
            )
        return next(iter(self.sources))


def _lw_openpose(name: str, summary: str, facts: Facts, sources: Mapping[str, Source] | None = None) -> Entry:
    def load(source: str, progress: Progress) -> Network:
        from export.zoo.lw_openpose.network import lw_openpose  # torch: not wanted for a list of names

        return lw_openpose(name, source, progress)

    def bare() -> nn.Module:
        from export.zoo.lw_openpose.layouts import LAYOUTS
        from export.zoo.lw_openpose.module import LwOpenPose

        return LwOpenPose("omz", layout=LAYOUTS[name])

    return Entry(
        summary=summary,
        facts=facts,
        load=load,
        bare=bare,
        sources=sources or {},
        elsewhere="" if sources else "they come with the package, or from python -m export.train",
        bundled=name,
    )


def _lw_openposes() -> dict[str, Entry]:
    published = Facts(
        parameters=4_099_058,
        macs=7_685_898_240,
        size=(456, 256),
        decoder="paf",
        published="42.8 (omz), 40 (osokin), val2017",
        paper="its 9 G are for 368x368",
    )
    kind = "bottom-up, 18 keypoints, MobileNetV1"
    full = f"Lightweight OpenPose: {kind}, stride 8"
    models = {"lw-openpose": _lw_openpose("lw-openpose", full, published, LW_OPENPOSE_SOURCES)}
    narrow = Facts(
        parameters=2_065_474,
        macs=1_253_912_352,
        size=(224, 168),
        decoder="paf",
        published="in its card, trained here",
    )
    summary = f"Lightweight OpenPose, three quarters as wide: {kind}, stride 8"
    models["lw-openpose-pi"] = _lw_openpose("lw-openpose-pi", summary, narrow)
    return models


def _efficienthrnet(name: Name, facts: Facts) -> Entry:
    def load(source: str, progress: Progress) -> Network:
        from export.zoo.efficienthrnet.network import efficienthrnet

        return efficienthrnet(name, source, progress)

    def bare() -> nn.Module:
        from export.zoo.efficienthrnet.module import EfficientHRNet

        return EfficientHRNet(name)

    return Entry(
        summary=f"EfficientHRNet {name.upper()}: bottom-up, 17 keypoints, strides 4 and 2",
        facts=facts,
        load=load,
        bare=bare,
        elsewhere="its authors share them on Google Drive, see https://github.com/TeCSAR-UNCC/EfficientHRNet",
    )


def _lpn(depth: Depth, facts: Facts) -> Entry:
    def load(source: str, progress: Progress) -> Network:
        from export.zoo.lpn.network import lpn

        return lpn(depth, source, progress)

    def bare() -> nn.Module:
        from export.zoo.lpn.module import Lpn

        return Lpn(depth)

    return Entry(
        summary=f"LPN-{depth}: top-down, 17 keypoints, lightweight ResNet with global context, stride 4",
        facts=facts,
        load=load,
        bare=bare,
        elsewhere=f"its authors share lpn_{depth}_256x192.pth on Google Drive, "
        "see https://github.com/zhang943/lpn-pytorch",
    )


def _hwl(name: str, hard_sigmoid: HardSigmoid, reading: str) -> Entry:
    def load(source: str, progress: Progress) -> Network:
        from export.zoo.hwl.network import hwl

        return hwl(name, hard_sigmoid, source, progress)

    def bare() -> nn.Module:
        from export.zoo.hwl.module import Hwl

        return Hwl(hard_sigmoid=hard_sigmoid)

    return Entry(
        summary=f"HWL: top-down, 17 keypoints, MobileNetV3 with attention, stride 4; hard sigmoid {reading}",
        facts=Facts(
            parameters=3_077_882,
            macs=558_997_088,
            size=(192, 256),
            decoder="topdown",
            published="65.8 at 192x256, 69.9 at 288x384, val2017",
            paper="its 0.58 G count batch norm, activations and pooling too",
        ),
        load=load,
        bare=bare,
        elsewhere="none are published; train them with https://github.com/HAIV-Lab/ICPR22w",
    )


# name, parameters, multiply-adds, input side, published AP of val2017, the paper's M and G
_EFFICIENTHRNETS: tuple[tuple[Name, int, int, int, str, str, str], ...] = (
    ("h0", 19_725_359, 23_958_286_848, 512, "64.8", "23.3", "25.6"),
    ("h-1", 13_004_446, 13_130_000_048, 480, "59.2 (tested at 512)", "16", "14.2"),
    ("h-2", 8_263_495, 7_029_956_920, 448, "52.9", "10.3", "7.7"),
    ("h-3", 5_360_390, 3_758_983_969, 416, "44.8 (tested at 448)", "6.9", "4.2"),
    ("h-4", 2_764_706, 1_807_480_224, 384, "35.7", "3.7", "2.1"),
)
# depth, parameters, multiply-adds, published AP of val2017, the paper's numbers
_LPNS: tuple[tuple[Depth, int, int, str, str], ...] = (
    (50, 2_911_153, 1_068_144_640, "69.1", "2.7 M is its abstract's, 2.9 M its code's; 1.0 G is"),
    (101, 5_353_458, 1_504_458_752, "70.4", "1.4 G is"),
    (152, 7_377_459, 1_942_722_560, "71.0", "1.8 G is"),
)


def _zoo() -> dict[str, Entry]:
    models = _lw_openposes()
    for name, parameters, macs, side, ap, million, giga in _EFFICIENTHRNETS:
        facts = Facts(
            parameters=parameters,
            macs=macs,
            size=(side, side),
            decoder="tags",
            published=f"{ap}, val2017",
            paper=f"its {million} M count the backbone twice; "
            f"its {giga} G lie between this and this with a second backbone",
        )
        models[f"efficienthrnet-{name.replace('-', '')}"] = _efficienthrnet(name, facts)
    for depth, parameters, macs, ap, paper in _LPNS:
        facts = Facts(
            parameters=parameters,
            macs=macs,
            size=(192, 256),
            decoder="topdown",
            published=f"{ap}, val2017",
            paper=f"{paper} in units of 2**30",
        )
        models[f"lpn-{depth}"] = _lpn(depth, facts)
    models["hwl"] = _hwl("hwl", "sixth", "clip((x + 3) / 6), mmcv from 1.4.4")
    models["hwl-hsigmoid-half"] = _hwl("hwl-hsigmoid-half", "half", "clip((x + 1) / 2), mmcv before 1.4.4")
    return models


MODELS = _zoo()


def find_model(name: str) -> Entry:
    """Return a network's entry; `UsageError` with the nearest name when there is none."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(MODELS)}"
    raise UsageError(f"no model {name!r}; {hint}")
