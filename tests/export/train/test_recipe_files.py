"""Recipes are read by the family of their network; keys of another family and other mistakes are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from export.train.family_recipes import RECIPES
from export.train.recipe_files import read_recipe, recipes
from export.train.tasks.families import task_of
from export.zoo.registry import TRAINABLE
from rpi_runtime.errors import InputError
from tests.export.train.tasks.test_tasks import edited, read_pafs, train

pytestmark = [pytest.mark.usefixtures("tiny")]


@pytest.mark.parametrize(
    ("network", "more", "message"),
    [
        (
            "tiny-crops",
            '[distillation]\nweights = "x"\nscale = 1.0\n',
            "distillation.scale: is for networks with PAFs, not for tiny-crops; leave it out",
        ),
        ("tiny-crops", "# teacher", "teacher: is for networks with PAFs, not for tiny-crops; leave it out"),
        ("tiny-crops", "[targets]\nsigma = 7.0\n", "targets.sigma: is for networks with PAFs, not for"),
        (
            "tiny",
            "[targets]\ncell_sigma = 2.0\n",
            "targets.cell_sigma: is for networks with tags and top-down networks, not for tiny; leave it out",
        ),
        (
            "tiny-crops",
            "[augmentation]\nrotation = 3.0\n",
            "augmentation.rotation: is for networks with PAFs",
        ),
        ("tiny-tags", "[crops]\nscale = 0.2\n", "crops: is for top-down networks, not for tiny-tags"),
        (
            "tiny-tags",
            '[start]\nmethod = "prune"\nweights = "x"\n',
            "start.method: got 'prune', expected one of 'scratch', 'load'",
        ),
        ("person-finder", "", "distillation: missing key"),
        ("tiny", "[targets]\nsigm = 7.0\n", "targets.sigm: unknown key; did you mean 'sigma'"),
        ("tiny", '[distillation]\nweights = "x"\nshare = 2.0\n', "expected above 0"),
        ("tiny", "[iterate]\nstages = 0\n", "expected 1 or more"),
        ("hwl", "", "expected multiples of 32"),
    ],
)
def test_tables_of_another_family_are_refused(
    labelled: Path, capsys: pytest.CaptureFixture[str], network: str, more: str, message: str
) -> None:
    size = "80x64" if network == "hwl" else "96x64"
    name = f'network = "{network}"' + ('\nteacher = "t.tflite"' if more == "# teacher" else "")
    edited(labelled, ('network = "tiny"', name), ('"96x64"', f'"{size}"'), more="\n" + more)
    assert train(labelled, "run") == 3
    assert message in capsys.readouterr().err


def test_every_recipe_can_be_read() -> None:
    paths = dict.fromkeys(
        ("coco", "labels", "lsp_labels", "lsp", "start", "teacher", "unlabelled", "weights"), "x"
    )
    assert {"hwl", "lpn-50", "efficienthrnet-h4", "lw-openpose"} <= set(recipes())
    for name in recipes():
        recipe = read_recipe(name, paths)
        assert task_of(recipe).recipe.network == recipe.network


def test_every_trainable_network_has_a_family() -> None:
    assert {t.description.decoder.kind for t in TRAINABLE.values()} == set(RECIPES)


def test_a_recipe_refuses_a_network_of_another_family(labelled: Path) -> None:
    with pytest.raises(InputError, match="network 'hwl': expected one of the networks with PAFs"):
        replace(read_pafs(labelled), network="hwl")
