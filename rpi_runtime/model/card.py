"""The model card: everything that the runtime needs to know about a model, stored inside its .tflite.

The card is a JSON member of a zip archive appended to the flatbuffer, the place where TFLite's own metadata
keeps associated files: an interpreter reads the flatbuffer from the front and ignores it, `zipfile` reads the
archive from the back. A user's own network is described by the same fields in TOML.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rpi_runtime.errors import CardError
from rpi_runtime.inputs import parse_json
from rpi_runtime.model.decoders import DecoderSettings
from rpi_runtime.model.member import CARD_MEMBER, read_member
from rpi_runtime.strict import from_mapping

CARD_FORMAT = 2
READABLE_FORMATS = (1, 2)  # 1 lacks settings that now have defaults
Role = Literal[
    "heatmaps", "pafs", "tags",
    "scores", "objectness", "boxes", "keypoints",
    "centre", "regress", "offset", "box_scale", "box_offset",
    "simcc_x", "simcc_y",
]  # fmt: skip
ROLES: tuple[str, ...] = get_args(Role)
DETECTIONS = ("scores", "objectness", "boxes", "keypoints")  # have one stride for one stride
MOST_KEYPOINTS, MOST_EDGES, MOST_OUTPUTS, MOST_NOTES = 256, 1024, 32, 64
MOST_LETTERS = 200  # of a name
MOST_ROWS = 1 << 18


def check_name(name: str, what: str) -> None:
    """Refuse a name that is empty, too long for a line, or contains control characters."""
    if not 1 <= len(name) <= MOST_LETTERS or not name.isprintable():
        raise CardError(
            f"{what} name {name[:MOST_LETTERS]!r}: expected 1 to {MOST_LETTERS} printable characters"
        )


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
        The whole picture, padded to keep its aspect ratio or stretched to fill the input; or a crop of one person.
    pad_value : int
        Value of the padding before normalisation, 0..255.
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
    """The keypoints of a person, in the order of the network's heatmap channels; empty for a detector.

    Attributes
    ----------
    keypoints : tuple of str
        Names.
    edges : tuple of (int, int)
        Bones to draw, as indices into `keypoints`.
    coco : tuple of int
        The index in `keypoints` of each of COCO's 17 keypoints, or -1; empty if the skeleton is not COCO's.
    sigmas : tuple of float
        Fall-off of object keypoint similarity (OKS) per keypoint; empty if unknown.
    """

    keypoints: tuple[str, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    coco: tuple[int, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        if count > MOST_KEYPOINTS or len(set(self.keypoints)) != count:
            raise CardError(
                f"skeleton: {count} keypoints, expected at most {MOST_KEYPOINTS}, with different names"
            )
        for name in self.keypoints:
            check_name(name, "keypoint")
        if len(self.edges) > MOST_EDGES:
            raise CardError(f"skeleton: {len(self.edges)} edges, expected at most {MOST_EDGES}")
        if any(not 0 <= i < count for edge in self.edges for i in edge):
            raise CardError(f"skeleton edges name a keypoint outside 0..{count - 1}")
        if self.coco and (len(self.coco) != 17 or any(not -1 <= i < count for i in self.coco)):
            raise CardError(f"skeleton coco {self.coco}: expected 17 indices from -1 to {count - 1}")
        if self.sigmas and len(self.sigmas) != count:
            raise CardError(f"skeleton sigmas: {len(self.sigmas)} values for {count} keypoints")
        if not all(0 < s < math.inf for s in self.sigmas):
            raise CardError("skeleton sigmas: expected finite positive numbers")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """The meaning of an output tensor, or of some of its channels, for the decoder.

    Attributes
    ----------
    name : str
        Name in the file's signature. Several outputs may be parts of one tensor.
    role : str
        Its meaning for the decoder, one of `ROLES`. A role may occur at several strides.
    channels : int
        Number of values per cell.
    stride : int
        Input pixels per map cell; 1 for rows that are not cells of a map.
    axes : {"hwc", "chw", "rows", "columns"}
        Order of the tensor's axes behind the first: a map (H / stride, W / stride, channels), one with its channels
        first, rows (rows, channels), or those with their channels first. With a stride above 1 the rows are the
        cells of a map, row by row.
    first : int
        Index of the first channel in the tensor.
    rows, first_row : int
        With "rows" and "columns": number of rows of the tensor, and index of the first one of this output.
    """

    name: str
    role: Role
    channels: int
    stride: int = 1
    axes: Literal["hwc", "chw", "rows", "columns"] = "hwc"
    first: int = 0
    rows: int = 0
    first_row: int = 0

    def __post_init__(self) -> None:
        check_name(self.name, "output")
        if not (1 <= self.channels <= 4096 and 1 <= self.stride <= 4096 and 0 <= self.first <= 4096):
            raise CardError(f"output {self.name!r}: channels and stride must be 1 to 4096, first 0 to 4096")
        if not 0 <= self.rows <= MOST_ROWS:
            raise CardError(f"output {self.name!r}: rows {self.rows}, expected at most {MOST_ROWS}")
        if self.in_rows != (self.rows > 0) or not 0 <= self.first_row < max(self.rows, 1):
            raise CardError(
                f"output {self.name!r}: axes {self.axes!r} with rows {self.rows}, first_row {self.first_row}: expected "
                "the number of rows with 'rows' and 'columns', and only there"
            )

    @property
    def in_rows(self) -> bool:
        """Whether the tensor has rows instead of a map's height and width."""
        return self.axes in ("rows", "columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The origin of a file: weights, calibration, tools. It has no times and paths, so that files are reproducible.

    Attributes
    ----------
    weights_source, weights_sha256, weights_licence, weights_graph : str
        Source, hash, licence and published graph of the weights.
    weights_data : str
        Their training data and the resulting limits, if known.
    calibration_sha256 : str
        Hash of the calibration manifest; empty without calibration.
    calibration_images : int
    tools : mapping of str to str
        Versions of the tools that made the file.
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
    """The card of one .tflite.

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

    Examples
    --------
    >>> from rpi_runtime import read_card
    >>> card = read_card("M.tflite")
    >>> card.name, [output.role for output in card.outputs]
    ('lw-openpose', ['heatmaps', 'pafs'])
    """

    name: str
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    decoder: DecoderSettings
    skeleton: Skeleton = Skeleton()
    recipe: str = ""
    provenance: Provenance = Provenance()
    measured: Mapping[str, float] = field(default_factory=dict)
    format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        if self.format not in READABLE_FORMATS:
            raise CardError(
                f"model card format {self.format}: this pipose reads formats 1 to {CARD_FORMAT}; "
                "export the model again, or install the pipose that wrote it"
            )
        check_name(self.name, "model")
        for what, items in (
            ("outputs", self.outputs),
            ("measured", self.measured),
            ("tools", self.provenance.tools),
        ):
            most = MOST_OUTPUTS if what == "outputs" else MOST_NOTES
            if len(items) > most:
                raise CardError(f"{what}: {len(items)} entries, expected at most {most}")
        if len({(o.role, o.stride) for o in self.outputs}) != len(self.outputs):
            raise CardError(f"outputs {self._names()}: expected different strides where a role repeats")
        channels = {role: tuple(o.channels for o in self.outputs_of(role)) for role in ROLES}
        self.decoder.check(len(self.skeleton.keypoints), channels)
        self._check_detections()
        if self.input.fit not in self.decoder.fits:
            raise CardError(
                f"decoder {self.decoder.kind!r} with input fit {self.input.fit!r}: expected "
                f"{' or '.join(map(repr, self.decoder.fits))}; networks of crops, and only they, see one person"
            )

    @property
    def sees_crops(self) -> bool:
        """Whether the network sees the crop of one person instead of a whole picture."""
        return self.input.fit == "crop"

    def _check_detections(self) -> None:
        """Check that only a detector has no keypoints, and that a detector has its outputs at each of its strides."""
        if bool(self.skeleton.keypoints) == (self.decoder.kind == "boxes"):
            raise CardError(
                f"skeleton of {len(self.skeleton.keypoints)} keypoints with decoder {self.decoder.kind!r}: expected "
                "one or more, and none for a detector of boxes"
            )
        strides = {role: {o.stride for o in self.outputs_of(role)} for role in DETECTIONS}
        if self.outputs_of("boxes") and any(s and s != strides["boxes"] for s in strides.values()):
            raise CardError(f"outputs {self._names()}: expected scores and boxes at the same strides")

    def output(self, role: str, stride: int | None = None) -> OutputSpec:
        """Return the only output with this role (and stride, if given); raises `CardError` unless it is exactly one."""
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
        """Build a card from parsed JSON or TOML; raises `CardError` for unknown, missing and mistyped keys."""
        return from_mapping(cls, data, CardError)


def read_card(path: Path | str) -> ModelCard:
    """Return the card inside a .tflite; raises `CardError` with the file's name if it is missing or damaged.

    Examples
    --------
    >>> from rpi_runtime import read_card
    >>> read_card("M.tflite").input.size
    '160x120'
    """
    data = parse_json(read_member(path, CARD_MEMBER), f"{path}: its model card", "export it again", CardError)
    if not isinstance(data, dict):
        raise CardError(f"{path}: its model card is not a JSON object", remedy="export it again")
    try:
        return ModelCard.from_mapping(data)
    except CardError as err:
        raise CardError(f"{path}: {err}") from err
