"""Recipes by name or path: TOML files in, validated recipes out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from export.train.family_recipes import RECIPES, TrainRecipe
from export.train.recipe import TrainingRecipe
from export.zoo.registry import find_trainable
from quant.recipe import recipe_names
from rpi_runtime.errors import InputError, PiposeError, UsageError
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.strict import from_mapping, shown

FOLDER = Path(__file__).parent / "recipes"
KEY = re.compile(r"\{([A-Za-z_]\w*)\}")  # a placeholder that --path fills; unlike {2} in a group's pattern


def read_recipe(name: str, paths: Mapping[str, str]) -> TrainRecipe:
    """Read a recipe by name or path, with ``{key}`` in its strings replaced by `paths`.

    Raises
    ------
    UsageError
        The recipe or its network does not exist, or a path that it needs was not given.
    InputError
        The recipe is invalid; the message names the key.
    """
    return validated(_filled(_read(name), paths))


def validated(data: Mapping[str, Any]) -> TrainRecipe:
    """Return the recipe of parsed TOML or JSON. The network that it names decides which keys it may have.

    Raises
    ------
    UsageError
        There is no such network.
    InputError
        A key is missing, unknown, mistyped or another family's.
    """
    network = data.get("network")
    if not isinstance(network, str):
        raise InputError(f"got {shown(network)}, expected the name of a network", key="network")
    recipe = RECIPES[find_trainable(network).description.decoder.kind]
    _refuse_keys_of_other_families(data, recipe, network)
    return from_mapping(recipe, data, InputError)


def _refuse_keys_of_other_families(data: Mapping[str, Any], recipe: type[TrainRecipe], network: str) -> None:
    for path in _paths(data):
        owners = [other.family for other in RECIPES.values() if _has(other, path)]
        if owners and not _has(recipe, path):
            raise InputError(
                f"is for {' and '.join(owners)}, not for {network}", remedy="leave it out", key=".".join(path)
            )


def _paths(data: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a recipe, then those of its tables."""
    for key in data:
        yield (key,)
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from ((key, inner) for inner in value)


def _has(cls: type[Any], path: tuple[str, ...]) -> bool:
    """Return whether a dataclass has a key, given as the keys on the way to it."""
    key, *inner = path
    if key not in {f.name for f in fields(cls)}:
        return False
    if not inner:
        return True
    hint = get_type_hints(cls)[key]
    tables = [t for t in (hint, *get_args(hint)) if isinstance(t, type) and is_dataclass(t)]
    return any(_has(table, tuple(inner)) for table in tables)


def as_written(name: str) -> str:
    """Return a recipe as JSON without paths, so that it is the same on every machine."""
    return json.dumps(_read(name), sort_keys=True)


def same_recipe(one: str, other: str) -> bool:
    """Return whether two recipes as JSON are equal. Keys that an older one lacks have their defaults."""
    try:
        first, second = (validated(json.loads(text)) for text in (one, other))
    except (ValueError, PiposeError):
        return False
    return first == second


def samples_key(recipe: TrainingRecipe, outputs: str, pictures: Iterable[str]) -> str:
    """Return a digest of everything that determines a recipe's samples: settings, labels, teacher and `pictures`.

    Parameters
    ----------
    recipe : TrainingRecipe
    outputs : str
        Description of the network's outputs. Samples serve every network with these outputs.
    pictures : iterable of str
        Names of the training pictures, in their order.
    """
    described = {**recipe.sample_settings(), "outputs": outputs, "pictures": [*pictures]}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for path in recipe.sample_files():
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def _read(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        text = read_input(path, 1 << 20)
    except OSError as err:
        if name in recipe_names():
            raise UsageError(
                f"{name!r} is a quantization recipe, for export.tflite --recipe; "
                f"training recipes: {', '.join(recipes())}"
            ) from err
        raise UsageError(
            f"no training recipe {name!r} ({err.strerror}); known: {', '.join(recipes())}, or FILE.toml"
        ) from err
    return parse_toml(text, path, "correct it")


def _filled(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, paths) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, paths) for v in value]
    if not isinstance(value, str):
        return value
    missing = [key for key in KEY.findall(value) if key not in paths]
    if missing:
        raise UsageError(f"the training recipe needs a path: add --path {missing[0]}=PATH")
    return KEY.sub(lambda found: paths[found[1]], value)
