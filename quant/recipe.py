"""Named quantization recipes, one small file each in ``quant/recipes``.

The name says what is done::

    recipe   = weights "_" activations [ "_" equalization ]     w8c_a8_eq
    weights  = "w" bits granularity     w8c  int8, a scale per output channel
                                        w16  float16        w32  float32
    activations = "a" bits              a8   int8, a scale per tensor      a32  float32
    equalization = "eq"                 channels equalized by what calibration images make of them
                 | "eqw"                by the weights alone

Under every int8 recipe ELU is made int8, and what has no sound int8 kernel is computed in float (`quant.floats`): the
gate names it, with its part of the time, in the report.

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
    """How channels are brought to one scale before quantization (`export.graph.equalize`).

    Attributes
    ----------
    source : {"data", "weights", "off"}
    limit : float
        No channel is multiplied by more.
    passes : int
        Sweeps over the network; one is enough with data.
    """

    source: Literal["data", "weights", "off"] = "off"
    limit: float = 1024.0
    passes: int = 1

    def __post_init__(self) -> None:
        if self.limit < 1 or self.passes < 1:
            raise InputError(f"recipe: limit {self.limit} and passes {self.passes} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What happens to weights and activations.

    Attributes
    ----------
    name : str
        By the grammar above.
    summary : str
        One line for ``--list-recipes``.
    kind : {"int8", "float16", "float32"}
        For the file's name when the recipe is its kind's default.
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
    """Return a recipe by name, or from the path of a .toml file; `InputError` when there is none."""
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
