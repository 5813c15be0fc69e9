"""Named quantization recipes, one small file each in ``quant/recipes``.

The name describes what is done::

    recipe   = weights "_" activations [ "_" equalization ]     w8c_a8_eq
    weights  = "w" bits granularity     w8c  int8, a scale per output channel
                                        w16  float16        w32  float32
    activations = "a" bits              a8   int8, a scale per tensor      a32  float32
    equalization = "eq"                 channels equalized by what calibration images make of them
                 | "eqw"                by the weights alone

With every int8 recipe, ELU is computed in int8, and operations without a sound int8 kernel are computed in float
(`quant.floats`); the gate names them in the report, with their part of the time.

A new recipe is a new .toml file there, or anywhere with ``--recipe FILE.toml``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rpi_runtime.errors import InputError
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.strict import from_mapping

MOST_BYTES = 1 << 20
FOLDER = Path(__file__).parent / "recipes"
GRAMMAR = re.compile(r"w(8c|16|32)_a(8|32)(_eq|_eqw)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalization:
    """How channels are scaled alike before quantization (`export.graph.equalize`).

    Attributes
    ----------
    source : {"data", "weights", "off"}
    limit : float
        Maximum factor of a channel.
    passes : int
        Number of sweeps over the network. One is enough with data.
    """

    source: Literal["data", "weights", "off"] = "off"
    limit: float = 1024.0
    passes: int = 1

    def __post_init__(self) -> None:
        if self.limit < 1 or self.passes < 1:
            raise InputError(f"recipe: limit {self.limit} and passes {self.passes} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The treatment of weights and activations.

    Attributes
    ----------
    name : str
        Name by the grammar above.
    summary : str
        One line for ``--list-recipes``.
    kind : {"int8", "float16", "float32"}
        Stands in the file's name if the recipe is the default of its kind.
    equalization : Equalization
    """

    name: str
    summary: str
    kind: Literal["int8", "float16", "float32"]
    equalization: Equalization = Equalization()

    def __post_init__(self) -> None:
        match = GRAMMAR.match(self.name)
        if not match:
            raise InputError(f"recipe name {self.name!r}: expected for example w8c_a8_eq")
        weights, activations, suffix = match.groups()
        kind = {("8c", "8"): "int8", ("16", "32"): "float16", ("32", "32"): "float32"}.get(
            (weights, activations)
        )
        source = {None: "off", "_eq": "data", "_eqw": "weights"}[suffix]
        if kind != self.kind or source != self.equalization.source:
            raise InputError(
                f"recipe {self.name}: its name says {kind} with equalization {source!r}, "
                f"the file says {self.kind} with {self.equalization.source!r}"
            )


DEFAULTS = {"int8": "w8c_a8_eq", "float16": "w16_a32", "float32": "w32_a32"}


def load_recipe(name: str) -> Recipe:
    """Return a recipe by name or from the path of a .toml file; raises `InputError` if neither exists."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        text = read_input(path, MOST_BYTES)
    except OSError as err:
        known = ", ".join(recipe_names())
        raise InputError(f"recipe {name!r}: not one of {known}, nor a .toml file ({err.strerror})") from err
    data = parse_toml(text, path, "correct it, or name a recipe of --list-recipes")
    return from_mapping(Recipe, data, InputError)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))
