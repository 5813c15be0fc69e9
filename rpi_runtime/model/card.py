"""The model card: everything that the runtime must know of a model, stored inside its .tflite.

The card is a JSON member of a zip archive appended to the flatbuffer, the place where TFLite's own metadata
keeps associated files: an interpreter reads the flatbuffer from the front and ignores it, `zipfile` reads the
archive from the back. A user's own network is described by the same fields in TOML.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rpi_runtime.errors import CardError, MissingMemberError
from rpi_runtime.model.decoders import Decoder
from rpi_runtime.strict import from_mapping

CARD_FORMAT = 1
ROLES = ("heatmaps", "pafs", "tags")
CARD_MEMBER = "pipose/card.json"
CALIBRATION_MEMBER = "pipose/calibration.json"
# what zipfile raises on damaged archives
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, RuntimeError)
# the others have errors of their own, and a Python may lack their modules
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NO_CARD = "no model card inside; export it with `python -m export.tflite`, which writes one"
_ABSENT = {
    CARD_MEMBER: _NO_CARD,
    CALIBRATION_MEMBER: "holds no calibration manifest; only INT8 files have one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """How a picture becomes the network's input: ``(value - mean) * scale`` per channel, value in 0..255.

    Attributes
    ----------
    width, height : int
        Pixels.
    channels : {"bgr", "rgb"}
        Order of the network's input channels.
    mean, scale : tuple of 3 floats
        In the order of `channels`.
    fit : {"letterbox", "stretch", "crop"}
        The whole picture with its aspect ratio kept and padded, or filling the input; or one person cut out of it.
    pad_value : int
        0..255, the padding's value before normalisation.
    """

    width: int
    height: int
    channels: Literal["bgr", "rgb"] = "bgr"
    mean: tuple[float, float, float] = (128.0, 128.0, 128.0)
    scale: tuple[float, float, float] = (1 / 256, 1 / 256, 1 / 256)
    fit: Literal["letterbox", "stretch", "crop"] = "letterbox"
    pad_value: int = 128

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 4096 and 1 <= self.height <= 4096):
            raise CardError(f"input size {self.width}x{self.height}: expected 1 to 4096 pixels a side")
        if not 0 <= self.pad_value <= 255:
            raise CardError(f"input pad_value {self.pad_value}: expected 0 to 255")
        if not all(math.isfinite(m) for m in self.mean):
            raise CardError(f"input mean {self.mean}: expected three finite numbers")
        if not all(0 < s < math.inf for s in self.scale):
            raise CardError(f"input scale {self.scale}: expected three finite positive numbers")

    @property
    def size(self) -> str:
        """The size as users write it: ``160x120``, width first."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """The keypoints of a person, in the order of the network's heatmap channels.

    Attributes
    ----------
    keypoints : tuple of str
        Names.
    edges : tuple of (int, int)
        Bones to draw, as indices into `keypoints`.
    coco : tuple of int
        For each of COCO's 17 keypoints its index in `keypoints`, or -1; empty when the skeleton is not COCO's.
    sigmas : tuple of float
        Per keypoint the fall-off of object keypoint similarity (OKS); empty when unknown.
    """

    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    coco: tuple[int, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        if count == 0 or len(set(self.keypoints)) != count:
            raise CardError(f"skeleton keypoints {self.keypoints}: expected one or more different names")
        if any(not 0 <= i < count for edge in self.edges for i in edge):
            raise CardError(f"skeleton edges name a keypoint outside 0..{count - 1}")
        if self.coco and (len(self.coco) != 17 or any(not -1 <= i < count for i in self.coco)):
            raise CardError(f"skeleton coco {self.coco}: expected 17 indices from -1 to {count - 1}")
        if self.sigmas and len(self.sigmas) != count:
            raise CardError(f"skeleton sigmas: {len(self.sigmas)} values for {count} keypoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """One output tensor, (1, H / stride, W / stride, channels).

    Attributes
    ----------
    name : str
        Name in the file's signature.
    role : {"heatmaps", "pafs", "tags"}
        What the decoder takes it for. A role may occur at several strides.
    channels : int
        Size of the last axis.
    stride : int
        Input pixels per map cell.
    """

    name: str
    role: Literal["heatmaps", "pafs", "tags"]
    channels: int
    stride: int

    def __post_init__(self) -> None:
        if self.channels < 1 or self.stride < 1:
            raise CardError(f"output {self.name!r}: channels and stride must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a file comes from: weights, calibration, tools. Free of times and paths, so that files reproduce.

    Attributes
    ----------
    weights_source, weights_sha256, weights_licence, weights_graph : str
        Where the weights were found, the hash of their bytes, their licence, which published graph they fit.
    weights_data : str
        What they were trained on and what that limits, where it is known.
    calibration_sha256 : str
        Hash of the calibration manifest; empty without calibration.
    calibration_images : int
    tools : mapping of str to str
        Versions of what made the file.
    """

    weights_source: str = ""
    weights_sha256: str = ""
    weights_licence: str = ""
    weights_graph: str = ""
    weights_data: str = ""
    calibration_sha256: str = ""
    calibration_images: int = 0
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All of the above for one .tflite.

    Attributes
    ----------
    name : str
        Model name, as in ``lw-openpose``.
    recipe : str
        Name of the quantization recipe.
    input, skeleton, outputs, decoder, provenance
        See their classes.
    measured : mapping of str to float
        Figures measured on this file when it was made, such as ``ap`` and ``heatmap_rmse``.
    format : int
        Version of this format.
    """

    name: str
    input: InputSpec
    skeleton: Skeleton
    outputs: tuple[OutputSpec, ...]
    decoder: Decoder
    recipe: str = ""
    provenance: Provenance = Provenance()
    measured: Mapping[str, float] = field(default_factory=dict)
    format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        if self.format != CARD_FORMAT:
            raise CardError(
                f"model card format {self.format}: this pipose reads format {CARD_FORMAT}; "
                "export the model again, or install the pipose that wrote it"
            )
        if len({(o.role, o.stride) for o in self.outputs}) != len(self.outputs):
            raise CardError(f"outputs {self._names()}: expected different strides where a role repeats")
        channels = {role: tuple(o.channels for o in self.outputs_of(role)) for role in ROLES}
        self.decoder.check(len(self.skeleton.keypoints), channels)
        if (self.decoder.kind == "topdown") != (self.input.fit == "crop"):
            raise CardError(
                f"decoder {self.decoder.kind!r} with input fit {self.input.fit!r}: top-down networks, and only "
                "they, see a crop of one person"
            )

    def output(self, role: str, stride: int | None = None) -> OutputSpec:
        """Return the one output with this role, and stride where given; `CardError` when it is not exactly one."""
        found = [o for o in self.outputs if o.role == role and stride in (None, o.stride)]
        if len(found) != 1:
            at = "" if stride is None else f" and stride {stride}"
            raise CardError(
                f"expected one output with role {role!r}{at}, got {len(found)} among: {self._names()}"
            )
        return found[0]

    def outputs_of(self, role: str) -> tuple[OutputSpec, ...]:
        """Return the outputs with this role, coarsest first."""
        return tuple(sorted((o for o in self.outputs if o.role == role), key=lambda o: -o.stride))

    def _names(self) -> str:
        return ", ".join(f"{o.name} ({o.role}, stride {o.stride})" for o in self.outputs)

    def to_json(self) -> str:
        """Return the card as JSON with sorted keys: the same card gives the same bytes."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> ModelCard:
        """Build a card from parsed JSON or TOML; unknown, missing and mistyped keys are a `CardError`."""
        return from_mapping(cls, data, CardError)


def read_member(path: Path | str, member: str) -> bytes:
    """Return one member of the archive inside a .tflite.

    Raises
    ------
    MissingMemberError
        The file has an archive, without such a member.
    CardError
        The file is missing or no .tflite, or the archive or the member is damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if head[4:8] != b"TFL3":
                raise CardError(
                    f"{path}: not a TFLite file (no TFL3 identifier); expected a .tflite of pipose"
                )
            try:
                archive = zipfile.ZipFile(file)
            except _DAMAGED as err:
                raise CardError(f"{path}: {_NO_CARD}, or copy the file again if it was truncated") from err
            with archive:
                return _read_from(archive, member, path)
    except OSError as err:
        raise CardError(
            f"{path}: cannot be read ({err.strerror or err}); give the path of a .tflite"
        ) from err


def _read_from(archive: zipfile.ZipFile, member: str, path: Path) -> bytes:
    if member not in archive.namelist():
        raise MissingMemberError(f"{path}: {_ABSENT.get(member, f'holds no {member}')}")
    kind = archive.getinfo(member).compress_type
    try:
        if kind not in _COMPRESSIONS:
            raise zipfile.BadZipFile(f"compression {kind}, expected stored or deflated")
        return archive.read(member)
    except _DAMAGED as err:
        reason = str(err) or type(err).__name__
        raise CardError(f"{path}: {member} is damaged ({reason}); copy or export the file again") from err


def read_card(path: Path | str) -> ModelCard:
    """Return the card inside a .tflite; `CardError`, with the file's name, when it has none or a broken one."""
    try:
        data = json.loads(read_member(path, CARD_MEMBER))
    except ValueError as err:
        raise CardError(f"{path}: its model card is not valid JSON ({err}); export it again") from err
    if not isinstance(data, dict):
        raise CardError(f"{path}: its model card is not a JSON object; export it again")
    try:
        return ModelCard.from_mapping(data)
    except CardError as err:
        raise CardError(f"{path}: {err}") from err
