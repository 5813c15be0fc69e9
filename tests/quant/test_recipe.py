"""Recipes: the name says what the file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.recipe import DEFAULTS, Equalization, Recipe, load_recipe, recipe_names
from rpi_runtime.errors import InputError


def test_every_recipe_of_the_package_loads_under_its_own_name() -> None:
    recipes = [load_recipe(name) for name in recipe_names()]
    assert [r.name for r in recipes] == recipe_names()
    assert {r.name for r in recipes} >= {"w8c_a8", "w8c_a8_eq", "w8c_a8_eqw", "w16_a32", "w32_a32"}
    assert all(r.summary for r in recipes)


@pytest.mark.parametrize(("kind", "name"), DEFAULTS.items())
def test_defaults_are_of_their_kind(kind: str, name: str) -> None:
    assert load_recipe(name).kind == kind


def test_a_recipe_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = 'name = "w8c_a8_eqw"\nsummary = "mine"\nkind = "int8"\n[equalization]\nsource = "weights"\npasses = 3\n'
    path.write_text(text)
    recipe = load_recipe(str(path))
    assert recipe.equalization == Equalization(source="weights", passes=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "w8c_a8"\nsummary = ""\nkind = "float16"', "its name says int8"),
        ('name = "w8c_a8_eq"\nsummary = ""\nkind = "int8"', "its name says int8 with equalization 'data'"),
        ('name = "w4_a8"\nsummary = ""\nkind = "int8"', "expected for example w8c_a8_eq"),
        ('name = "w8c_a32"\nsummary = ""\nkind = "int8"', "its name says None"),
        ('name = "w8c_a8"\nsummary = ""\nkind = "int8"\nequalisation = 1', "did you mean 'equalization'"),
        ('name = "w8c_a8"\nsummary = ""\nkind = "int4"', "expected one of 'int8'"),
        (
            'name = "w8c_a8_eq"\nsummary = ""\nkind = "int8"\n[equalization]\nsource = "data"\npasses = 0',
            "at least 1",
        ),
        ('name = "w8c_a8"\nsummary = ""', "kind: missing key"),
        ("name = ", "not valid TOML"),
    ],
)
def test_recipes_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(str(path))


@pytest.mark.parametrize("name", ["w8c_a8_eqq", "", "../recipes/x", "missing.toml"])
def test_unknown_recipes_list_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"w8c_a8_eq, w8c_a8_eqw"):
        load_recipe(name)


def test_limit_below_one() -> None:
    with pytest.raises(InputError, match="at least 1"):
        Recipe(name="w8c_a8_eq", summary="", kind="int8", equalization=Equalization(source="data", limit=0.5))
