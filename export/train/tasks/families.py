"""The task of a recipe's network: by the kind of its decoder."""

from __future__ import annotations

from export.train.recipe import TrainRecipe
from export.train.tasks.box_task import BoxTask
from export.train.tasks.crop_task import CropTask
from export.train.tasks.paf_task import PafTask
from export.train.tasks.tag_task import TagTask
from export.train.tasks.task import Task
from export.zoo.registry import find_trainable

TASKS: dict[str, type[Task]] = {"boxes": BoxTask, "paf": PafTask, "tags": TagTask, "topdown": CropTask}


def task_of(recipe: TrainRecipe) -> Task:
    """Return what trains the recipe's network; `UsageError` with the known names when there is none."""
    return TASKS[find_trainable(recipe.network).description.decoder.kind](recipe)
