"""Toy models with cards, for tests of the runtime that need a .tflite but no network worth the name."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import Limb, PafSettings
from rpi_runtime.model.member import CARD_MEMBER
from rpi_runtime.model.seal import seal_of

GOLDEN = Path(__file__).parent / "golden"

CARD = ModelCard(
    name="toy",
    input=InputSpec(width=32, height=24),
    skeleton=Skeleton(keypoints=tuple(f"k{i}" for i in range(18)), edges=((0, 1),)),
    outputs=(
        OutputSpec(name="heatmaps", role="heatmaps", channels=19, stride=8),
        OutputSpec(name="pafs", role="pafs", channels=38, stride=8),
    ),
    decoder=PafSettings(limbs=tuple(Limb(a=i, b=i + 1, paf_x=2 * i, paf_y=2 * i + 1) for i in range(17))),
)


def toy_bytes(kind: str) -> bytes:
    """The flatbuffer of golden/toy-`kind`.tflite, without a card."""
    return (GOLDEN / f"toy-{kind}.tflite").read_bytes()


def write_toy(path: Path, kind: str = "int8", **changes: object) -> Path:
    """Write a toy with `CARD`, some of its fields changed, inside; return `path`."""
    path.write_bytes(toy_bytes(kind))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD_MEMBER, replace(CARD, **changes).to_json())
        archive.comment = seal_of(toy_bytes(kind))
    return path
