"""Targets of a whole batch, drawn on the accelerator; `targets` and `point_targets` draw one sample at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from export.train.tasks.targets import FAR, LIMBS, PAF_CHANNELS, TargetSpec


def exact_heatmaps(
    people: Tensor, size: tuple[int, int], stride: int, sigma: float, origin: float
) -> tuple[Tensor, Tensor]:
    """Draw Gaussians around the keypoints themselves (`point_targets.exact_heatmaps`).

    Parameters
    ----------
    people : Tensor, shape (N, K, 3)
        One person per sample.
    size, stride, sigma, origin
        As in that function.

    Returns
    -------
    maps : Tensor, shape (N, K, height, width)
    weight : Tensor, shape (N, K)
    """
    cells = (people[..., :2] + 0.5 - origin) / stride
    nearest = cells.round()
    inside = _within(nearest, size) & (people[..., 2] > 0)
    across, down = (_bell(cells[..., axis], size[1 - axis], sigma) for axis in (0, 1))
    maps = down[..., :, None] * across[..., None, :] * inside[..., None, None]
    return maps, inside.float()


def crop_heatmaps(people: Tensor, size: tuple[int, int], stride: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Draw one person's heatmaps as HRNet's training does (`point_targets.crop_heatmaps`); shapes as above."""
    reach = int(3 * sigma)
    cells = (people[..., :2] / stride + 0.5).trunc()
    x, y = cells.unbind(-1)
    drawn = (people[..., 2] > 0) & (x + 1 >= -reach) & (x - reach < size[1])
    drawn &= (y + 1 >= -reach) & (y - reach < size[0])
    across, down = (_bell(cells[..., axis], size[1 - axis], sigma, reach) for axis in (0, 1))
    maps = down[..., :, None] * across[..., None, :] * drawn[..., None, None]
    return maps, drawn.float()


def openpose_maps(people: Tensor, size: tuple[int, int], spec: TargetSpec) -> Tensor:
    """Draw heatmaps, the background and part affinity fields (`targets.heatmaps` and `targets.pafs`).

    Parameters
    ----------
    people : Tensor, shape (N, P, 18, 3)
        x, y in network pixels, and a flag; 0 is not drawn.
    size : (int, int)
        Height and width of the maps.
    spec : TargetSpec

    Returns
    -------
    Tensor, shape (N, 19 + 38, height, width)
    """
    heat = _heatmaps(people, size, spec)
    background = 1 - heat.amax(1, keepdim=True)
    return torch.cat((heat, background, _pafs(people, size, spec)), 1)


def _heatmaps(people: Tensor, size: tuple[int, int], spec: TargetSpec) -> Tensor:
    centre = spec.stride / 2 - 0.5
    columns, rows = (torch.arange(n, device=people.device) * spec.stride + centre for n in size[::-1])
    dx = (columns - people[..., 0, None]) ** 2
    dy = (rows - people[..., 1, None]) ** 2
    exponent = (dy[..., :, None] + dx[..., None, :]) / (2 * spec.sigma**2)
    drawn = (exponent <= FAR) & (people[..., 2] > 0)[..., None, None]
    return torch.where(drawn, torch.exp(-exponent), 0.0).sum(1).clamp_max(1.0)


def _pafs(people: Tensor, size: tuple[int, int], spec: TargetSpec) -> Tensor:
    """Draw the fields; if people share a cell, the vector of the last one stays."""
    height, width = size
    half = spec.limb_width
    columns, rows = (torch.arange(n, device=people.device) for n in (width, height))
    fields = people.new_zeros((len(people), PAF_CHANNELS, height, width))
    order = torch.arange(1, people.shape[1] + 1, device=people.device)[None, :, None, None]
    for a, b, channel_x, channel_y in LIMBS:
        start, end = people[:, :, a, :2] / spec.stride, people[:, :, b, :2] / spec.stride
        length = (end - start).norm(dim=-1)
        unit = (end - start) / length.clamp_min(1e-12)[..., None]
        low = (torch.minimum(start, end) - half).trunc().clamp_min(0)
        high = (torch.maximum(start, end) + half).trunc()
        across = (columns >= low[..., :1]) & (columns < high[..., :1])  # (N, P, width)
        down = (rows >= low[..., 1:]) & (rows < high[..., 1:])
        dx, dy = columns - start[..., :1], rows - start[..., 1:]
        off = dx[:, :, None, :] * unit[..., 1, None, None] - dy[..., None] * unit[..., 0, None, None]
        known = (people[:, :, a, 2] > 0) & (people[:, :, b, 2] > 0) & (length > 0)
        near = (off.abs() <= half) & across[:, :, None, :] & down[..., None] & known[..., None, None]
        last = (near * order).amax(1)  # 0 where no limb is near
        for channel, part in ((channel_x, unit[..., 0]), (channel_y, unit[..., 1])):
            vectors = torch.cat((torch.zeros_like(part[:, :1]), part), 1)
            fields[:, channel] = vectors.gather(1, last.flatten(1)).view(last.shape)
    return fields


def _bell(cells: Tensor, length: int, sigma: float, reach: int | None = None) -> Tensor:
    """Return the heights (N, K, length) for places (N, K) on an axis; 0 beyond `reach`."""
    away = torch.arange(length, device=cells.device) - cells[..., None]
    height = torch.exp(-(away**2) / (2 * sigma**2))
    return height if reach is None else torch.where(away.abs() <= reach, height, 0.0)


def _within(cells: Tensor, size: tuple[int, int]) -> Tensor:
    x, y = cells.unbind(-1)
    return (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
