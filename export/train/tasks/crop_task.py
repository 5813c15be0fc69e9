"""Training of top-down networks, which see the crop of one person: LPN, HWL, the refiner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.train.data.augment import Affine, draw_light, move_points, relight, warp
from export.train.data.crops import Box, Crops, random_crop
from export.train.data.data import Samples, SampleSpec, as_input
from export.train.data.examples import Example
from export.train.data.on_device import light_numbers
from export.train.data.on_device import relight as relight_batch
from export.train.tasks import drawn
from export.train.tasks.losses import heatmap_weighting_loss, joints_mse
from export.train.tasks.point_targets import MIRRORED, Maps, crop_heatmaps, exact_heatmaps
from export.train.tasks.task import Task
from export.train.tasks.taught import Taught
from quant.boxes import clip
from quant.progress import Progress
from rpi_runtime.errors import InputError
from rpi_runtime.model.decoders import TopdownDecoder

BLACK = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a person's heatmaps are drawn.

    Attributes
    ----------
    stride : int
    sigma : float
        In cells.
    origin : float or None
        Where the first cell lies (see `exact_heatmaps`); None for Gaussians around cells.
    """

    stride: int
    sigma: float
    origin: float | None = None

    def __call__(self, person: NDArray[np.float64], network: tuple[int, int]) -> tuple[Maps, Maps]:
        """Keypoints of a crop, (17, 3), and the input's width and height to maps and weights."""
        grid = (network[1] // self.stride, network[0] // self.stride)
        if self.origin is None:
            return crop_heatmaps(person, grid, self.stride, self.sigma)
        return exact_heatmaps(person, grid, self.stride, self.sigma, self.origin)

    def batch(self, people: Tensor, network: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """As for one person, of a batch of them, (N, 17, 3), on their device."""
        grid = (network[1] // self.stride, network[0] // self.stride)
        if self.origin is None:
            return drawn.crop_heatmaps(people, grid, self.stride, self.sigma)
        return drawn.exact_heatmaps(people, grid, self.stride, self.sigma, self.origin)


class CropSamples(Samples):
    """Input, heatmaps (17, h, w) float16, weight (17,) float32; one a person."""

    def __init__(
        self,
        examples: list[Example],
        spec: SampleSpec,
        length: int,
        crops: Crops,
        *,
        draw: Drawing,
    ) -> None:
        super().__init__(examples, spec, length)
        self.crops, self.drawing = crops, draw
        self.people = [p for number, e in enumerate(examples) for p in _boxes(number, e)]
        if not self.people:
            raise InputError("the labels hold no person with a box inside its picture; a crop needs one")

    @property
    def each(self) -> int:
        """People."""
        return len(self.people)

    @property
    def can_render(self) -> bool:
        """Yes."""
        return True

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a person's sample."""
        number, affine, person = self._placed(rng, which, network)
        # without the halved copies: the runtime cuts crops out of the picture itself too
        pixels = warp(self.examples[number].pyramid[:1], affine, network, BLACK)
        picture = relight(rng, self.spec.augmentation, pixels)
        maps, weight = self.drawing(person, network)
        return as_input(picture), torch.from_numpy(maps.astype(np.float16)), torch.from_numpy(weight)

    def plan(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Where a person's picture comes from, its light, the keypoints (17, 3)."""
        assert self.pictures
        number, affine, person = self._placed(rng, which, network)
        row, back = self.pictures.row(number, affine, copies=False)
        light = light_numbers(draw_light(rng, self.spec.augmentation))
        return torch.tensor(row), torch.from_numpy(back), light, torch.from_numpy(person.astype(np.float32))

    def rendered(
        self, plans: list[Tensor], network: tuple[int, int], generator: torch.Generator
    ) -> list[Tensor]:
        """As `draw`, of a batch of plans; maps float32."""
        assert self.pictures
        rows, back, lights, people = plans
        pictures = relight_batch(self.pictures.warp(rows, back, network, BLACK[0]), lights, generator)
        return [pictures, *self.drawing.batch(people, network)]

    def _placed(
        self, rng: np.random.Generator, which: int, network: tuple[int, int]
    ) -> tuple[int, Affine, NDArray[np.float64]]:
        """Draw where a person goes; number of the example, the map into the crop, the keypoints in the crop."""
        number, row, box = self.people[which]
        person = self.examples[number].people[row]
        affine = random_crop(rng, self.crops, box, person, network)
        return number, affine, move_points(person[None], affine, MIRRORED)[0]


def _boxes(number: int, example: Example) -> list[tuple[int, int, Box]]:
    """Number of the picture, row of the person, and the box as HRNet's code clips it to the picture."""
    size = example.size
    clipped = [(row, clip(box, size)) for row, box in enumerate(example.boxes)]
    return [(number, row, box) for row, box in clipped if box is not None]


class CropTask(Task):
    """Networks that give one map a keypoint of one person."""

    has_crops = True
    has_distillation = True

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> CropSamples:
        """Return the samples of labelled people."""
        crops = self.recipe.crops or Crops()
        targets, decoder = self.recipe.targets, self.description.decoder
        assert isinstance(decoder, TopdownDecoder)
        drawing = Drawing(
            stride=self.description.outputs[0].stride,
            sigma=targets.cell_sigma,
            origin=decoder.cell_origin if targets.exact else None,
        )
        return CropSamples(examples, spec, length, crops, draw=drawing)

    def trained(self, net: nn.Module) -> nn.Module:
        """Return the network; beside what it finds its teacher's maps where the recipe names one."""
        spec = self.recipe.distillation
        if spec is None:
            return net
        if spec.scale != 1:
            raise InputError(f"recipe: distillation.scale {spec.scale}: expected 1 for networks of crops")
        teacher = self.network.bare()
        self.load_weights(teacher, spec.weights, Progress(quiet=True))
        return Taught(net, teacher)

    def loss(self, outputs: Tensor | tuple[Tensor, Tensor], targets: list[Tensor]) -> Tensor:
        """Compare with the labels, and with the teacher's maps, which know what is not labelled too."""
        maps, weight = targets[0].float(), targets[1]
        spec = self.recipe.distillation
        if spec is None:
            assert isinstance(outputs, Tensor)
            return self._loss(outputs, maps, weight)
        found, taught = outputs
        known = torch.ones_like(weight)
        return (1 - spec.share) * self._loss(found, maps, weight) + spec.share * self._loss(
            found, taught, known
        )

    def _loss(self, outputs: Tensor, maps: Tensor, weight: Tensor) -> Tensor:
        """Half the mean squared error of joints, or the heatmap-weighting loss where the recipe names a function."""
        function = self.recipe.targets.function
        if function == "none":
            return joints_mse(outputs.float(), maps, weight)
        return heatmap_weighting_loss(outputs.float(), maps, weight, function)

    def maps(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Heatmaps."""
        return (outputs,)
