"""Weights that come with the package: float16 safetensors beside a card that states their origin.

``NAME.safetensors`` and ``NAME.toml`` in the network's folder of ``export/zoo``; `export.bundle` writes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.weights.download import checksum
from rpi_runtime.errors import WeightsError
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.strict import from_mapping

FOLDER = Path(__file__).parents[1] / "zoo"
BUNDLED = "bundled"  # their name as a source of weights
CARD_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAp:
    """COCO AP on val2017 at one input size, in percent.

    Attributes
    ----------
    size : str
        WxH.
    float32, int8 : float
    start : float
        AP of the weights that training started from, float32; -1 if that has no meaning.
    """

    size: str
    float32: float
    int8: float
    start: float = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network that was measured beside this one; AP on held-out pictures of train2017, in percent.

    Attributes
    ----------
    network : str
    size : str
        WxH at which its work is about that of the others.
    gmacs : float
        Multiply-adds there, in 1e9.
    crops : int
        Number of crops trained on so far.
    ap : float
    latency : float
        INT8 latency of one thread over that of lw-openpose at 160x120; -1 if not measured.
    """

    network: str
    size: str
    gmacs: float
    crops: int
    ap: float
    latency: float = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """AP on held-out pictures of train2017, in percent, after a number of crops and minutes of training."""

    crops: int
    minutes: float
    size: str
    ap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledCard:
    """The card of bundled weights.

    Attributes
    ----------
    network : str
        Name in the zoo.
    sha256 : str
        Hash of the .safetensors.
    licence : str
    start : str
        The weights that training started from, with their licence; or "random".
    data : str
        What they were trained on.
    limits : str
        Conditions of the training pictures' owners, and limits of the weights.
    recipe, commit : str
        Training recipe, and the commit of this project that ran it.
    measured : tuple of MeasuredAp
    candidates : tuple of Candidate
        The networks that it was chosen from.
    curve : tuple of CurvePoint
    format : int
    """

    network: str
    sha256: str
    licence: str
    start: str
    data: str
    limits: str
    recipe: str
    commit: str
    measured: tuple[MeasuredAp, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        if self.format != CARD_FORMAT:
            raise WeightsError(f"card of bundled weights, format {self.format}: expected {CARD_FORMAT}")
        empty = [
            n for n in ("licence", "start", "data", "limits", "recipe", "commit") if not getattr(self, n)
        ]
        if empty:
            raise WeightsError(f"card of bundled weights {self.network}: {', '.join(empty)} may not be empty")


def is_bundled(network: str) -> bool:
    """Whether this package has weights of a network."""
    return weights_path(network).is_file()


def weights_path(network: str) -> Path:
    """Return the path of a network's weights, which does not exist if the package has none."""
    file = f"{network}.safetensors"
    return next(FOLDER.rglob(file), _home(network) / file)


def _home(network: str) -> Path:
    """Return the folder of the family, whose name the network's begins with: lw-openpose-pi is of lw_openpose."""
    name = network.replace("-", "_")
    families = (path for path in FOLDER.glob("*/") if name.startswith(path.name))
    return max(families, key=lambda path: len(path.name), default=FOLDER)


def find_bundled(network: str) -> tuple[Path, BundledCard]:
    """Return a network's bundled weights, verified, and their card.

    Raises
    ------
    WeightsError
        The package has no weights of the network, or they or their card are damaged.
    """
    path = weights_path(network)
    if not path.is_file():
        have = ", ".join(sorted(p.stem for p in FOLDER.rglob("*.safetensors"))) or "none at all"
        raise WeightsError(
            f"weights 'bundled': this package has none for {network} (it has {have}); "
            "give --weights another source (--list-models) or a file"
        )
    card = read_card(path.with_suffix(".toml"))
    if card.network != network:
        raise WeightsError(
            f"{path}: its card is that of {card.network}; install pipose again, its package is damaged"
        )
    if (digest := checksum(path)) != card.sha256:
        raise WeightsError(
            f"{path}: sha256 {digest}, its card says {card.sha256}; install pipose again, its package is damaged"
        )
    return path, card


def read_card(path: Path) -> BundledCard:
    """Read the card beside bundled weights; raises `WeightsError` if it is missing or invalid."""
    try:
        text = read_input(path)
    except OSError as err:
        raise WeightsError(
            f"{path}: the card of bundled weights cannot be read ({err}); install pipose again"
        ) from err
    data = parse_toml(text, f"{path}: the card of bundled weights", "install pipose again", WeightsError)
    return from_mapping(BundledCard, data, WeightsError)
