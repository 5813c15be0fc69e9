"""The training of one network by one recipe: samples, loss, and maps for its decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from export.train.data.data import Samples, SampleSpec
from export.train.data.examples import Example, read_source
from export.train.recipe import TrainingRecipe
from export.train.start.initial import small_normal
from export.train.validate import held_out
from export.weights.find import find_weights
from export.weights.module import load_state
from export.zoo.registry import find_trainable
from quant.progress import reporter
from rpi_runtime.errors import InputError

R = TypeVar("R", bound=TrainingRecipe, covariant=True)
S = TypeVar("S", bound=Samples)
N = TypeVar("N", bound=nn.Module)


class Task(ABC, Generic[R, S, N]):
    """One network's training by one recipe. A family has its own class of recipes, of samples and of networks.

    Attributes
    ----------
    recipe : TrainingRecipe
    network : Trainable
    description : Description
        Description of the network.
    cards : tuple of ModelCard
        One card for each size.
    """

    def __init__(self, recipe: R) -> None:
        self.recipe, self.network = recipe, find_trainable(recipe.network)
        self.description = self.network.description
        self.cards = tuple(
            self.description.trained_card(recipe.network, *size) for size in recipe.network_sizes
        )
        self._mean = torch.tensor(self.description.input.mean).reshape(3, 1, 1)
        self._scale = torch.tensor(self.description.input.scale).reshape(3, 1, 1)

    def build(self) -> N:
        """Return the network with random weights."""
        net: N = self.network.bare()
        small = self.network.small_start
        return net if small is None else small_normal(net, small)

    def start(self, samples: S) -> N:
        """Return the network with the weights of ``[start]``."""
        torch.manual_seed(self.recipe.seed)
        net = self.build()
        if self.recipe.start.method != "scratch":
            self.load_start(net, samples)
        return net

    def load_start(self, net: N, samples: S) -> None:
        """Load the weights of ``[start]`` into the network."""
        self.load_weights(net, self.recipe.start.weights)

    def load_weights(self, net: nn.Module, source: str) -> None:
        """Load weights into a module of the network, from its own files or from published ones."""
        weights = find_weights(source, {}, self.recipe.network)
        adopt = self.network.adopt
        state = adopt(weights.state, weights.source) if adopt else weights.state
        load_state(net, state, weights.source)

    def read_samples(self) -> S:
        """Read every source, without the held-out pictures."""
        recipe = self.recipe
        hidden = frozenset(held_out(recipe.holdout)[1] if recipe.holdout else ())
        examples = [e for s in recipe.data for e in read_source(s, hidden)]
        people = sum(len(e.people) for e in examples)
        reporter().say(f"  {len(examples)} pictures, {people} people")
        if not people:
            raise InputError(
                "the labels hold no person with keypoints in the pictures that are left to training"
            )
        spec = SampleSpec(
            sizes=recipe.network_sizes,
            batch=recipe.batch,
            seed=recipe.seed,
            reuse=recipe.reuse,
        )
        return self.samples(examples, spec, recipe.iterate.stages * recipe.steps * recipe.batch)

    def inputs(self, pictures: Tensor) -> Tensor:
        """Return the network's input for pictures (N, 3, H, W) uint8 BGR."""
        ordered = pictures.flip(1) if self.description.input.channels == "rgb" else pictures
        mean, scale = (t.to(pictures.device) for t in (self._mean, self._scale))
        return (ordered.float() - mean) * scale

    @abstractmethod
    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> S:
        """Return the samples of labelled pictures."""

    def trained(self, net: N) -> nn.Module:
        """Return a module whose forward pass returns the outputs that `loss` takes."""
        return net

    @abstractmethod
    def loss(self, outputs: Any, targets: list[Tensor]) -> Tensor:
        """Compare a batch's outputs with the targets of its samples."""

    def finish(self, net: N, samples: S) -> None:
        """Prepare the trained network for quantization, in place, without changing what it computes."""

    @abstractmethod
    def maps(self, outputs: Any) -> tuple[Tensor, ...]:
        """Return the result of ``net(images)`` in the order of the card's outputs."""


AnyTask = Task[TrainingRecipe, Any, Any]
