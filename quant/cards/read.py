"""Cards written by hand, and those of well-known networks that come with the package."""

from __future__ import annotations

import re
from pathlib import Path

from rpi_runtime.errors import CardError
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.model.card import ModelCard
from rpi_runtime.suggest import did_you_mean

TEMPLATES = Path(__file__).parent
MOST_BYTES = 1 << 20
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
    return check_card_name(card, path)


def check_card_name(card: ModelCard, path: Path) -> ModelCard:
    """Return a card that was read from a file, if its name can be that of a file."""
    if not NAME.fullmatch(card.name):
        raise CardError(
            f"{path}: name {card.name!r} becomes a file name; expected letters, digits, '.', '_' and '-'"
        )
    return card
