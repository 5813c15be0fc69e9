"""Training samples of labelled pictures. A sample depends on its number alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from export.train.data.examples import Example
from export.train.data.kept import KeptSamples
from export.train.data.on_device import DevicePictures
from rpi_runtime.poses import Image

SEEDS = 1_000_003  # so that the steps of a run have other noise than those of the next seed


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """Settings of samples that every family has.

    Attributes
    ----------
    sizes : tuple of (int, int)
        Width and height of the network's input; consecutive batches use them in turn.
    batch : int
    seed : int
    reuse : int
        Number of epochs after which the samples of the first ones come again, in another order; 0 for always new ones.
    """

    sizes: tuple[tuple[int, int], ...]
    batch: int
    seed: int = 0
    reuse: int = 0


class Samples(Dataset[tuple[Tensor, ...]], ABC):
    """Endless samples by number. Sample n is the same in every run, independently of the order of access.

    An item is the input (3, H, W) uint8 BGR, then the tensors that the family's loss takes.

    Attributes
    ----------
    kept : KeptSamples or None
        Samples on disk, which are read instead of made.
    """

    def __init__(self, examples: list[Example], spec: SampleSpec, length: int) -> None:
        self.examples, self.spec, self.length = examples, spec, length
        self.kept: KeptSamples | None = None
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return self.length

    @property
    def each(self) -> int:
        """Number of samples in an epoch."""
        return len(self.examples)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        spec = self.spec
        epoch, index = divmod(number, self.each)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((spec.seed, epoch)).permutation(self.each)
        which = int(self._order[index])
        size = self.size_of(number // spec.batch)
        drawn = epoch % spec.reuse if spec.reuse else epoch

        def make() -> tuple[Tensor, ...]:
            return self._item(np.random.default_rng((spec.seed, drawn, which)), which, size)

        return self.kept.get(drawn * self.each + which, make) if self.kept else make()

    def _item(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        return self.draw(rng, which, network)

    def size_of(self, step: int) -> tuple[int, int]:
        """Width and height of a batch's inputs."""
        return self.spec.sizes[step % len(self.spec.sizes)]

    @abstractmethod
    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make the sample of one of `each` things for an input size."""

    def place(self, device: str) -> None:
        """Move the pictures to an accelerator, if these samples can be made there; here they cannot."""

    def render(self, batch: list[Tensor], step: int, device: str) -> list[Tensor]:
        """Return a batch of samples for the step with this number; items of this class are samples already."""
        return batch


class RenderedSamples(Samples):
    """Samples that an accelerator can make.

    Attributes
    ----------
    pictures : DevicePictures or None
        Pictures on an accelerator, after `place`. An item is then a `plan`, and `render` makes the samples of a batch
        of plans.
    """

    def __init__(self, examples: list[Example], spec: SampleSpec, length: int) -> None:
        super().__init__(examples, spec, length)
        self.pictures: DevicePictures | None = None

    def _item(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        if self.pictures is None:
            return self.draw(rng, which, network)
        return self.plan(rng, which, network, self.pictures)

    @abstractmethod
    def plan(
        self, rng: np.random.Generator, which: int, network: tuple[int, int], pictures: DevicePictures
    ) -> tuple[Tensor, ...]:
        """Draw everything about a sample except its pixels and maps."""

    @abstractmethod
    def rendered(
        self,
        plans: list[Tensor],
        network: tuple[int, int],
        pictures: DevicePictures,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Return the samples of plans that are on the accelerator."""

    def place(self, device: str) -> None:
        """Move the pictures to an accelerator."""
        self.pictures = DevicePictures(self.examples, device)
        for example in self.examples:
            example.forget()

    def render(self, batch: list[Tensor], step: int, device: str) -> list[Tensor]:
        """Make a batch of samples on the accelerator that has the pictures.

        Parameters
        ----------
        batch : list of Tensor
            A batch of each tensor of `plan`; samples, if `place` was not called.
        step : int
            Number of the batch; its noise depends on it.
        device : str

        Returns
        -------
        list of Tensor
            As a batch of `draw`: the same up to rounding and noise.
        """
        if self.pictures is None:
            return batch
        generator = torch.Generator(device).manual_seed(self.spec.seed * SEEDS + step)
        plans = [p.to(device, non_blocking=True) for p in batch]
        return self.rendered(plans, self.size_of(step), self.pictures, generator)


def as_input(picture: Image) -> Tensor:
    """Return (H, W, 3) as a tensor (3, H, W)."""
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def known_mask(
    ignored: tuple[NDArray[np.float32], ...],
    affine: NDArray[np.float64],
    network: tuple[int, int],
    grid: tuple[int, int],
) -> NDArray[np.uint8]:
    """Return 1 where the loss counts, and 0 on crowds and on people without keypoints."""
    import cv2

    if not ignored:
        return np.ones(grid, np.uint8)
    canvas = np.ones((network[1], network[0]), np.uint8)
    for polygon in ignored:
        moved = polygon @ affine[:, :2].T + affine[:, 2]
        cv2.fillPoly(canvas, [np.round(moved).astype(np.int32)], 0)
    return np.asarray(cv2.resize(canvas, grid[::-1], interpolation=cv2.INTER_AREA), np.uint8)
