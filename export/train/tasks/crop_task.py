"""Training of top-down networks, which see the crop of one person: LPN, HWL, the refiner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cython_ext.specs import Floats
from export.train.data.augment import Affine, LightRange, draw_light, move_points, relight, warp
from export.train.data.crops import Box, Crops, random_crop
from export.train.data.data import RenderedSamples, SampleSpec, as_input
from export.train.data.examples import Example
from export.train.data.on_device import DevicePictures, light_numbers
from export.train.data.on_device import relight as relight_batch
from export.train.family_recipes import CropRecipe
from export.train.tasks import drawn
from export.train.tasks.losses import heatmap_weighting_loss, joints_mse
from export.train.tasks.point_targets import MIRRORED, crop_heatmaps, exact_heatmaps
from export.train.tasks.task import Task
from export.train.tasks.taught import Taught
from quant.accuracy.boxes import clip
from rpi_runtime.errors import InputError
from rpi_runtime.preprocess.crop import coco_shift

BLACK = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a person's heatmaps are drawn.

    Attributes
    ----------
    stride : int
    sigma : float
        Standard deviation of the Gaussians, in cells.
    origin : float or None
        Position of the first cell (see `exact_heatmaps`); None for Gaussians around cells.
    """

    stride: int
    sigma: float
    origin: float | None = None

    def __call__(self, person: NDArray[np.float64], network: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return maps and weights for the keypoints of a crop, (17, 3), and the width and height of the input."""
        grid = (network[1] // self.stride, network[0] // self.stride)
        if self.origin is None:
            return crop_heatmaps(person, grid, self.stride, self.sigma)
        return exact_heatmaps(person, grid, self.stride, self.sigma, self.origin)

    def batch(self, people: Tensor, network: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the same for a batch of people, (N, 17, 3), on their device."""
        grid = (network[1] // self.stride, network[0] // self.stride)
        if self.origin is None:
            return drawn.crop_heatmaps(people, grid, self.stride, self.sigma)
        return drawn.exact_heatmaps(people, grid, self.stride, self.sigma, self.origin)


class CropSamples(RenderedSamples):
    """Samples of one person each: input, heatmaps (17, h, w) float16, weight (17,) float32.

    Parameters
    ----------
    examples, spec, length
        As of all samples.
    crops : Crops
    light : LightRange
    draw : Drawing
    half : float
        Pixels of the picture between a pixel's middle and where the runtime reads a position of COCO's files in a crop:
        0.5 where the card puts the box's middle edge to edge (``box_middle = "edge"``), else 0.
    """

    def __init__(
        self,
        examples: list[Example],
        spec: SampleSpec,
        length: int,
        crops: Crops,
        *,
        light: LightRange,
        draw: Drawing,
        half: float = 0.0,
    ) -> None:
        super().__init__(examples, spec, length)
        self.crops, self.light, self.drawing, self.half = crops, light, draw, half
        self.people = [p for number, e in enumerate(examples) for p in _boxes(number, e)]
        if not self.people:
            raise InputError("the labels hold no person with a box inside its picture; a crop needs one")

    @property
    def each(self) -> int:
        """Number of people."""
        return len(self.people)

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a person's sample."""
        number, affine, person = self._placed(rng, which, network)
        # without halved copies, because the runtime also cuts crops out of the picture itself
        pixels = warp(self.examples[number].pyramid[:1], affine, network, BLACK)
        picture = relight(rng, self.light, pixels)
        maps, weight = self.drawing(person, network)
        return as_input(picture), torch.from_numpy(maps.astype(np.float16)), torch.from_numpy(weight)

    def plan(
        self, rng: np.random.Generator, which: int, network: tuple[int, int], pictures: DevicePictures
    ) -> tuple[Tensor, ...]:
        """Draw where a person's picture comes from, its light, and the keypoints (17, 3)."""
        number, affine, person = self._placed(rng, which, network)
        row, back = pictures.row(number, affine, copies=False)
        light = light_numbers(draw_light(rng, self.light))
        return torch.tensor(row), torch.from_numpy(back), light, torch.from_numpy(person.astype(np.float32))

    def rendered(
        self,
        plans: list[Tensor],
        network: tuple[int, int],
        pictures: DevicePictures,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Return the samples of a batch of plans, as `draw` does, with float32 maps."""
        rows, back, lights, people = plans
        inputs = relight_batch(pictures.warp(rows, back, network, BLACK[0]), lights, generator)
        return [inputs, *self.drawing.batch(people, network)]

    def _placed(
        self, rng: np.random.Generator, which: int, network: tuple[int, int]
    ) -> tuple[int, Affine, NDArray[np.float64]]:
        """Draw where a person goes; return the example's number, the map into the crop, the keypoints there."""
        number, row, box = self.people[which]
        person = self.examples[number].people[row]
        affine = random_crop(rng, self.crops, box, person, network)
        moved = move_points(person[None], affine, MIRRORED)[0]
        moved[:, :2] -= self.half * math.sqrt(abs(np.linalg.det(affine[:, :2])))
        return number, affine, moved


def _boxes(number: int, example: Example) -> list[tuple[int, int, Box]]:
    """Return number of the picture, row of the person, and the box as HRNet's code clips it to the picture."""
    size = example.size
    clipped = [(row, clip(box, size)) for row, box in enumerate(example.boxes)]
    return [(number, row, box) for row, box in clipped if box is not None]


class CropTask(Task[CropRecipe, CropSamples, nn.Module]):
    """Networks that give one map per keypoint of one person."""

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> CropSamples:
        """Return the samples of labelled people."""
        recipe, targets = self.recipe, self.recipe.targets
        drawing = Drawing(
            stride=self.description.outputs[0].stride,
            sigma=targets.cell_sigma,
            origin=recipe.decoder.cell_origin if targets.exact else None,
        )
        half = 0.5 + coco_shift(recipe.decoder)
        return CropSamples(
            examples, spec, length, recipe.crops, light=recipe.augmentation, draw=drawing, half=half
        )

    def trained(self, net: nn.Module) -> nn.Module:
        """Return the network, which also gives its teacher's maps if the recipe names a teacher."""
        spec = self.recipe.distillation
        if spec is None:
            return net
        teacher = self.network.bare()
        self.load_weights(teacher, spec.weights)
        return Taught(net, teacher)

    def loss(self, outputs: Any, targets: list[Tensor]) -> Tensor:
        """Compare the maps with the labels and with the teacher's maps, which also have what is not labelled.

        Parameters
        ----------
        outputs : Tensor, or (Tensor, Tensor) with a teacher
            Result of the module from `trained`.
        targets : list of Tensor
            Maps and weights.
        """
        maps, weight = targets[0].float(), targets[1]
        spec = self.recipe.distillation
        if spec is None:
            return self._loss(outputs, maps, weight)
        found, taught = outputs
        known = torch.ones_like(weight)
        return (1 - spec.share) * self._loss(found, maps, weight) + spec.share * self._loss(
            found, taught, known
        )

    def _loss(self, outputs: Tensor, maps: Tensor, weight: Tensor) -> Tensor:
        """Return half the mean squared error, or the heatmap-weighting loss if the recipe names a function."""
        function = self.recipe.targets.function
        if function == "none":
            return joints_mse(outputs.float(), maps, weight)
        return heatmap_weighting_loss(outputs.float(), maps, weight, function)

    def maps(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Return the heatmaps."""
        return (outputs,)
