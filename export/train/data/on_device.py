"""Pictures in an accelerator's memory, and the training pictures that it samples from them.

The loading processes draw the geometry of a sample (`RenderedSamples.plan`). Pixels cost a hundred times as much and
are sampled here, for a whole batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.train.data.augment import Affine, Light, from_copy
from export.train.data.examples import Example

Row = tuple[int, NDArray[np.float32]]


class DevicePictures:
    """Every picture of some examples, each followed by its halved copies.

    Parameters
    ----------
    examples : sequence of Example
    device : str
    """

    def __init__(self, examples: Sequence[Example], device: str) -> None:
        pyramids = [e.pyramid for e in examples]
        flat = [p for pyramid in pyramids for p in pyramid]
        self._first = np.cumsum([0, *(len(p) for p in pyramids)])
        self._sizes = [[(p.shape[1], p.shape[0]) for p in pyramid] for pyramid in pyramids]
        starts = np.cumsum([0, *(p.shape[0] * p.shape[1] for p in flat)])[:-1]
        self._starts = torch.from_numpy(starts).to(device)
        self._shape = torch.tensor([p.shape[:2] for p in flat], device=device)
        self._pixels = torch.cat([torch.from_numpy(p.reshape(-1, 3)) for p in flat]).to(device)

    def row(self, number: int, affine: Affine, *, copies: bool = True) -> Row:
        """Return the origin of a sample.

        Parameters
        ----------
        number : int
            Number of the example.
        affine : ndarray, shape (2, 3)
            Picture pixels to network pixels, both by pixel index.
        copies : bool
            Whether to sample a halved copy if the picture shrinks.

        Returns
        -------
        row : int
            Row of the picture or of its copy.
        back : ndarray, shape (2, 3), float32
            Network pixels to that picture's pixels.
        """
        sizes = self._sizes[number] if copies else self._sizes[number][:1]
        level, matrix = from_copy(sizes, affine)
        linear = np.linalg.inv(matrix[:, :2])
        back = np.column_stack((linear, -linear @ matrix[:, 2]))
        return int(self._first[number]) + level, back.astype(np.float32)

    def warp(self, rows: Tensor, back: Tensor, network: tuple[int, int], fill: int) -> Tensor:
        """Sample a batch bilinearly, with `fill` beside the pictures.

        Parameters
        ----------
        rows : Tensor, shape (N,)
        back : Tensor, shape (N, 2, 3)
        network : (int, int)
            Width and height.
        fill : int

        Returns
        -------
        Tensor, shape (N, 3, height, width), float32
            0 to 255, not rounded.
        """
        device = self._pixels.device
        y, x = torch.meshgrid(
            *(torch.arange(n, device=device, dtype=torch.float32) for n in network[::-1]), indexing="ij"
        )
        grid = torch.stack((x, y, torch.ones_like(x))).flatten(1)
        at = back.to(device) @ grid  # (N, 2, height * width)
        low = at.floor()
        part = at - low
        shape, start = self._shape[rows], self._starts[rows, None]
        column, line = low[:, 0].long(), low[:, 1].long()
        total = torch.zeros((len(rows), grid.shape[1], 3), device=device)
        for right in (0, 1):
            for down in (0, 1):
                px, py = column + right, line + down
                there = (px >= 0) & (py >= 0) & (px < shape[:, 1:]) & (py < shape[:, :1])
                place = torch.where(there, start + py * shape[:, 1:] + px, 0)
                value = torch.where(there[..., None], self._pixels[place].float(), float(fill))
                across = part[:, 0] if right else 1 - part[:, 0]
                along = part[:, 1] if down else 1 - part[:, 1]
                total += value * (across * along)[..., None]
        return total.transpose(1, 2).unflatten(2, network[::-1])


def light_numbers(light: Light) -> Tensor:
    """Return a light as (6,) float32."""
    return torch.tensor(light.numbers, dtype=torch.float32)


def relight(pictures: Tensor, lights: Tensor, generator: torch.Generator) -> Tensor:
    """Change light, colour and noise, as `export.train.data.augment.relight` does.

    Parameters
    ----------
    pictures : Tensor, shape (N, 3, H, W), float32
    lights : Tensor, shape (N, 6)
        From `light_numbers`.
    generator : torch.Generator
        Generator of the noise.

    Returns
    -------
    Tensor, shape (N, 3, H, W), uint8
    """
    contrast, grey, offset, noise = (
        part[:, :, None, None] for part in lights.to(pictures.device).split((3, 1, 1, 1), 1)
    )
    pixels = torch.where(grey > 0, pictures.mean(1, keepdim=True), pictures)
    pixels = (pixels - 128) * contrast + 128 + offset
    pixels += noise * torch.randn(pixels.shape, device=pixels.device, generator=generator)
    return pixels.clamp_(0, 255).to(torch.uint8)
