"""The task of a recipe's network: by the kind of its decoder."""

from __future__ import annotations

from export.train.recipe import TrainRecipe
from export.train.tasks.crop_task import CropTask
from export.train.tasks.networks import find_network
from export.train.tasks.paf_task import PafTask
from export.train.tasks.tag_task import TagTask
from export.train.tasks.task import Task

TASKS: dict[str, type[Task]] = {"paf": PafTask, "tags": TagTask, "topdown": CropTask}


def task_of(recipe: TrainRecipe) -> Task:
    """Return what trains the recipe's network; `UsageError` with the known names when there is none."""
    return TASKS[find_network(recipe.network).decoder.kind](recipe)
