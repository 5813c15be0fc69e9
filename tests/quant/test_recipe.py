"""Recipes: the name says what the file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.recipe import DEFAULTS, REPAIRS, load_recipe, recipe_names
from rpi_runtime.errors import InputError


def test_every_recipe_of_the_package_loads_under_its_own_name() -> None:
    recipes = [load_recipe(name) for name in recipe_names()]
    assert [r.name for r in recipes] == recipe_names()
    assert {r.name for r in recipes} >= {"w8c_a8", "w8c_a8_eq", "w16_a32", "w32_a32"}
    assert all(r.summary for r in recipes)


@pytest.mark.parametrize(("kind", "name"), DEFAULTS.items())
def test_defaults_are_of_their_kind(kind: str, name: str) -> None:
    assert load_recipe(name).kind == kind


def test_a_recipe_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "w8c_a8_out"\nsummary = "mine"\nkind = "int8"\nranges = "outputs"\n')
    recipe = load_recipe(str(path))
    assert (recipe.equalize, recipe.ranges, recipe.fit) == (False, "outputs", False)


def test_repairs_are_int8_and_go_further_each_time() -> None:
    names = [DEFAULTS["int8"], *REPAIRS]
    assert all(load_recipe(name).kind == "int8" for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "w8c_a8"\nsummary = ""\nkind = "float16"', "its name says int8"),
        (
            'name = "w8c_a8_eq"\nsummary = ""\nkind = "int8"',
            "its name says int8 with equalize, the file says",
        ),
        (
            'name = "w8c_a8_out_mix5"\nsummary = ""\nkind = "int8"\nranges = "outputs"\nslower = 0.2',
            "its name says .*float for 5 % more time, the file says .*float for 20 %",
        ),
        (
            'name = "w8c_a8_out"\nsummary = ""\nkind = "int8"\nranges = "outputs"\nslower = 0.2',
            "the file says .*20 %",
        ),
        ('name = "w8c_a8"\nsummary = ""\nkind = "int8"\nslower = 2.0', "slower 2, expected 0 to below 1"),
        ('name = "w4_a8"\nsummary = ""\nkind = "int8"', "expected for example w8c_a8_eq"),
        ('name = "w8c_a32"\nsummary = ""\nkind = "int8"', "its name says None"),
        ('name = "w8c_a8"\nsummary = ""\nkind = "int8"\nequalise = true', "did you mean 'equalize'"),
        ('name = "w8c_a8"\nsummary = ""\nkind = "int4"', "expected one of 'int8'"),
        ('name = "w8c_a8"\nsummary = ""\nkind = "int8"\nranges = "error"', "expected one of 'extremes'"),
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
    with pytest.raises(InputError, match=r"w8c_a8_eq, w8c_a8_eq_out"):
        load_recipe(name)
