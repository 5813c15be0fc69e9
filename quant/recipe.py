"""Named quantization recipes, one small file each in ``quant/recipes``.

The name says what is done::

    recipe   = weights "_" activations [ "_" equalization ] [ "_" ranges ] [ "_" fit ] [ "_" mix ]     w8c_a8_eq
    weights  = "w" bits granularity     w8c  int8, a scale per output channel
                                        w16  float16        w32  float32
    activations = "a" bits              a8   int8, a scale per tensor      a32  float32
    equalization = "eq"                 channels equalized by what calibration images make of them
                 | "eqr"                half way there, by square roots, and ranges of all images' extremes
    ranges  = "out"                     ranges by what errors cost the outputs, not by what most images reach
    fit     = "fit"                     weights and biases fitted, layer by layer, to the float network's values
    mix     = "mix" percent             layers left in float where that pays, for at most so much more time, predicted
                                        for a Raspberry Pi 4, than all in INT8 takes

Under every int8 recipe what has no sound int8 kernel is computed in float (`quant.floats`): the gate names it, with its
part of the time, in the report. The last three need PyTorch.

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
GRAMMAR = re.compile(r"w(8c|16|32)_a(8|32)(_eqr?)?(_out)?(_fit)?(_mix\d{1,2})?\Z")


class RecipeError(InputError):
    """A recipe cannot be carried out on this network."""


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
    equalize : float
        How far channels are brought to one level first, in logarithms: 0 not at all, 0.5 by the square root of the
        factor that would, 1 all the way (`quant.quantize.equalize`).
    ranges : {"extremes", "averages", "outputs"}
        How the range of a tensor follows from calibration: from all images' extremes, from the mean of each image's
        extremes, or by what errors cost the outputs (`quant.quantize.sensitivity`).
    fit : bool
        Whether weights and biases are fitted layer by layer (`quant.quantize.reconstruct`).
    slower : float
        How much longer the network may take, as a fraction of the time predicted for all of it in INT8, to leave layers
        in float (`quant.quantize.mixed`).
    """

    name: str
    summary: str
    kind: Literal["int8", "float16", "float32"]
    equalize: float = 0.0
    ranges: Literal["extremes", "averages", "outputs"] = "extremes"
    fit: bool = False
    slower: float = 0.0

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch is needed to carry it out."""
        return self.ranges == "outputs" or self.fit or self.slower > 0

    def __post_init__(self) -> None:
        match = GRAMMAR.match(self.name)
        if not match:
            raise InputError(f"recipe name {self.name!r}: expected for example w8c_a8_eq")
        weights, activations, *suffixes = match.groups()
        kind = {("8c", "8"): "int8", ("16", "32"): "float16", ("32", "32"): "float32"}.get(
            (weights, activations)
        )
        if not 0 <= self.equalize <= 1:
            raise InputError(f"recipe {self.name}: equalize {self.equalize:g}, expected 0 to 1")
        if not 0 <= self.slower < 1:
            raise InputError(f"recipe {self.name}: slower {self.slower:g}, expected 0 to below 1")
        *steps, mix = suffixes
        said = _words(kind, [step is not None for step in steps], mix or "_mix0")
        found = _words(
            self.kind, [self.equalize > 0, self.ranges == "outputs", self.fit], f"_mix{100 * self.slower:.0f}"
        )
        if said != found:
            raise InputError(f"recipe {self.name}: its name says {said}, the file says {found}")


def _words(kind: str | None, steps: list[bool], mix: str) -> str:
    names = ("equalize", "ranges by outputs", "fit")
    parts = [n for n, there in zip(names, steps, strict=True) if there]
    percent = int(mix.removeprefix("_mix"))
    if percent:
        parts.append(f"float for {percent} % more time")
    return f"{kind} with {', '.join(parts) or 'nothing else'}"


DEFAULTS = {"int8": "w8c_a8_eq", "float16": "w16_a32", "float32": "w32_a32"}
# what an export tries after the default, in this order, until the gate holds
REPAIRS = (
    "w8c_a8_eqr", "w8c_a8_eq_out", "w8c_a8_eq_out_fit", "w8c_a8_eq_out_mix5", "w8c_a8_eq_out_fit_mix5",
    "w8c_a8_eq_out_mix20", "w8c_a8_eq_out_fit_mix20", "w8c_a8_eq_out_mix50", "w8c_a8_eq_out_fit_mix50",
)  # fmt: skip


def load_recipe(name: str) -> Recipe:
    """Return a recipe by name, or from the path of a .toml file; `InputError` when there is none."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        text = read_input(path, MOST_BYTES)
    except OSError as err:
        known = f"not one of {', '.join(recipe_names())}, nor a .toml file"
        raise InputError(f"quantization recipe {name!r}: {known} ({err.strerror})") from err
    data = parse_toml(text, path, "correct it, or name a recipe of --list-recipes")
    return from_mapping(Recipe, data, InputError)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))
