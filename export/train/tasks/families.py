"""The task of a recipe, by its family."""

from __future__ import annotations

from export.train.family_recipes import BoxRecipe, CropRecipe, PafRecipe, TagRecipe, TrainRecipe
from export.train.tasks.box_task import BoxTask
from export.train.tasks.crop_task import CropTask
from export.train.tasks.paf_task import PafTask
from export.train.tasks.tag_task import TagTask
from export.train.tasks.task import AnyTask


def task_of(recipe: TrainRecipe) -> AnyTask:
    """Return the task that trains the recipe's network."""
    match recipe:
        case PafRecipe():
            return PafTask(recipe)
        case TagRecipe():
            return TagTask(recipe)
        case CropRecipe():
            return CropTask(recipe)
        case BoxRecipe():
            return BoxTask(recipe)
