"""Training of detectors of people, taught by a trained one: what it sees in a picture is what is learnt."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from export.train.data.augment import Augmentation, draw_light, random_affine, relight, warp
from export.train.data.data import RenderedSamples, SampleSpec, as_input
from export.train.data.examples import Example
from export.train.data.on_device import DevicePictures, light_numbers
from export.train.data.on_device import relight as relight_batch
from export.train.family_recipes import BoxRecipe
from export.train.start.refit import record, refit
from export.train.tasks.task import Task
from export.train.tasks.taught import Taught
from export.weights.module import load_state
from export.zoo.person_finder.module import Finder
from quant.progress import reporter

FILL = (114, 114, 114)  # what its start was trained to see beside the picture
SHARPNESS = 2.0  # of the focal weight of scores
FEATURES = 0.5  # of what the heads read, beside what they say
Pairs = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class BoxSamples(RenderedSamples):
    """Pictures as the network sees them; nothing else, since the teacher says what is on them."""

    def __init__(
        self, examples: list[Example], spec: SampleSpec, length: int, augmentation: Augmentation
    ) -> None:
        super().__init__(examples, spec, length)
        self.augmentation = augmentation

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a picture's sample."""
        example = self.examples[which]
        affine = random_affine(rng, self.augmentation, example.size, network, None)
        return (as_input(relight(rng, self.augmentation, warp(example.pyramid, affine, network, FILL))),)

    def plan(
        self, rng: np.random.Generator, which: int, network: tuple[int, int], pictures: DevicePictures
    ) -> tuple[Tensor, ...]:
        """Draw where a picture comes from, and its light."""
        affine = random_affine(rng, self.augmentation, self.examples[which].size, network, None)
        row, back = pictures.row(which, affine)
        return torch.tensor(row), torch.from_numpy(back), light_numbers(draw_light(rng, self.augmentation))

    def rendered(
        self,
        plans: list[Tensor],
        network: tuple[int, int],
        pictures: DevicePictures,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """As `draw`, of a batch of plans."""
        rows, back, lights = plans
        return [relight_batch(pictures.warp(rows, back, network, FILL[0]), lights, generator)]


class BoxTask(Task[BoxRecipe, BoxSamples, nn.Module]):
    """Networks that give scores and distances at several strides."""

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> BoxSamples:
        """Return the samples of pictures."""
        return BoxSamples(examples, spec, length, self.recipe.augmentation)

    def load_start(self, net: nn.Module, samples: BoxSamples) -> None:
        """Put the weights of ``[start]`` into the network, or fit its layers to what the start's give."""
        start = self.recipe.start
        published = self._trained(start.weights)
        load_state(net, {k: v.numpy() for k, v in published.state_dict().items()}, start.weights)
        if start.method == "refit":
            with reporter().stage("refit"):
                pictures = torch.stack([samples[n][0] for n in range(start.pictures)])
                images = self.inputs(pictures)
                refit(net, record(published, images), images, self.recipe.seed)

    def trained(self, net: nn.Module) -> nn.Module:
        """Return the network beside its teacher."""
        return Taught(net, self._trained(self.recipe.distillation.weights), "with_features")

    def _trained(self, source: str) -> Finder:
        """The start in its own form, with its own activations."""
        net = Finder()
        self.load_weights(net, source)
        return net

    def loss(self, outputs: Pairs, targets: list[Tensor]) -> Tensor:
        """Scores and sides of the boxes at every stride, as the teacher gives them."""
        found, taught = outputs
        sure = [t.sigmoid() for t in taught[0::3]]
        people = torch.stack([s.sum() for s in sure]).sum().clamp_min(1.0)
        total = people.new_zeros(())
        for level, score in enumerate(sure):
            (logits, sides, features), (_, far, seen) = (
                o[3 * level : 3 * level + 3] for o in (found, taught)
            )
            total = total + focal(logits, score) / people
            total = total + (score * missed(sides, far)).sum() / people
            total = total + FEATURES * f.mse_loss(features, seen) / seen.square().mean().clamp_min(1e-6)
        return total

    def maps(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Scores and boxes of each stride."""
        return outputs


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Quality focal loss of soft labels, summed (Li et al. 2020, arXiv:2006.04388, equation 5)."""
    off = (logits.sigmoid() - wanted).abs() ** SHARPNESS
    return (off * f.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).sum()


def missed(sides: Tensor, wanted: Tensor) -> Tensor:
    """One less the generalized overlap of boxes round one point (Rezatofighi et al. 2019, arXiv:1902.09630).

    Parameters
    ----------
    sides, wanted : Tensor, shape (N, 4, h, w)
        Distances to the left, top, right and bottom.

    Returns
    -------
    Tensor, shape (N, 1, h, w)
        0 to 2.
    """
    sides, wanted = sides.clamp_min(0), wanted.clamp_min(0)
    smaller, larger = torch.minimum(sides, wanted), torch.maximum(sides, wanted)
    inside, around = _area(smaller), _area(larger)
    either = _area(sides) + _area(wanted) - inside
    return 2 - inside / either.clamp_min(1e-6) - either / around.clamp_min(1e-6)


def _area(sides: Tensor) -> Tensor:
    left, top, right, bottom = sides.chunk(4, 1)
    return (left + right) * (top + bottom)
