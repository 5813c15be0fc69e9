"""Cards written by hand, and those of well-known networks that come with the package."""

from __future__ import annotations

import re
from pathlib import Path

from rpi_runtime.errors import CardError
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.model.card import InputSpec, ModelCard
from rpi_runtime.suggest import did_you_mean

TEMPLATES = Path(__file__).parent
MOST_BYTES = 1 << 20
LARGEST_INPUT = 256.0  # a network that takes pixels as they are has 255
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def template_names() -> list[str]:
    """Names of the cards that come with the package."""
    return sorted(path.stem for path in TEMPLATES.glob("*.toml"))


def read_own_card(source: str) -> ModelCard:
    """Read a card by the path of its TOML file, or by the name of a template."""
    if source in template_names():
        return read_toml_card(TEMPLATES / f"{source}.toml")
    if not source.endswith(".toml") and not Path(source).exists():
        raise CardError(
            f"--card {source}: no such file, and no template of that name; {did_you_mean(source, template_names())}"
        )
    return read_toml_card(Path(source))


def read_toml_card(path: Path) -> ModelCard:
    """Read a card written by hand."""
    try:
        text = read_input(path, MOST_BYTES)
    except OSError as err:
        raise CardError(f"{path}: cannot be read ({err.strerror}); give the card's TOML file") from err
    data = parse_toml(text, path, "correct it; the README has an example", CardError)
    try:
        card = ModelCard.from_mapping(data)
    except CardError as err:
        raise CardError(f"{path}: {err}") from err
    _check_pixels(card.input, path)
    return check_card_name(card, path)


def _check_pixels(spec: InputSpec, path: Path) -> None:
    """Refuse a normalisation of values from 0 to 1, or by deviations instead of factors: the network would be blind."""
    ends = [(v - m) * s for m, s in zip(spec.mean, spec.scale, strict=True) for v in (0, 255)]
    if max(map(abs, ends)) <= LARGEST_INPUT and not all(0 < m < 1 for m in spec.mean):
        return
    raise CardError(
        f"{path}: input mean {_listed(spec.mean)}, scale {_listed(spec.scale)} take a pixel's values 0..255 to "
        f"{min(ends):.4g}..{max(ends):.4g}",
        remedy="(value - mean) * scale is of values 0..255: where the network's own are given for 0..1, write "
        "mean = 255 * MEAN and scale = 1 / (255 * STD), for a deviation of pixels scale = 1 / STD",
    )


def _listed(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{v:g}' for v in values)}]"


def check_card_name(card: ModelCard, path: Path) -> ModelCard:
    """Return a card that was read from a file, if its name can be that of a file."""
    if not NAME.fullmatch(card.name):
        raise CardError(
            f"{path}: name {card.name!r} becomes a file name; expected letters, digits, '.', '_' and '-'"
        )
    return card
