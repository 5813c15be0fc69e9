"""Make a network with cheaper activations from a trained one by fitting every convolution again, layer after layer.

The new network processes some pictures, all at once. At each convolution, kernel and bias are fitted by least squares:
they map the values that the layer now reads to the result of the trained network's layer (the reconstruction of
channel pruning, He et al. 2017, arXiv:1707.06168, section 3.1, for activations instead of channels). Each layer thus
compensates for the changes before it. One forward pass is enough, without gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as f

POSITIONS = 60_000  # largest number of positions of a layer that take part
RIDGE = 1e-3  # times the mean square of the values read: how strongly kernel and bias stay as they were
PASSES = 8  # repetitions of the regression if an activation follows

Targets = dict[str, Tensor]


def record(net: nn.Module, pictures: Tensor) -> Targets:
    """Return the result of each convolution of a network, by name."""
    kept: Targets = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda _, __, output: kept.__setitem__(name, output.detach())

    hooks = [m.register_forward_hook(keep(n)) for n, m in _convolutions(net)]
    with torch.inference_mode():
        net(pictures)
    for hook in hooks:
        hook.remove()
    return kept


def refit(net: nn.Module, targets: Targets, pictures: Tensor, seed: int = 0) -> dict[str, float]:
    """Fit every convolution of a network to the recorded results, in the order of computation and in place.

    Parameters
    ----------
    net : nn.Module
        A network with the weights of the trained one and other activations.
    targets : dict of str to Tensor
        Result of `record` for the same pictures.
    pictures : Tensor, shape (N, 3, H, W)

    Returns
    -------
    dict of str to float
        The share of the target's variance that is left, 0 to 1, by layer.
    """
    generator = torch.Generator().manual_seed(seed)
    left: dict[str, float] = {}
    rectified = _rectified(net)

    def fit(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            assert isinstance(layer, nn.Conv2d)
            left[name] = _fit(layer, args[0], targets[name], generator, cut=name in rectified)

        return hook

    hooks = [m.register_forward_pre_hook(fit(n)) for n, m in _convolutions(net)]
    with torch.no_grad():
        net(pictures)
    for handle in hooks:
        handle.remove()
    return left


def _convolutions(net: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]


def _rectified(net: nn.Module) -> set[str]:
    """Return the names of the convolutions that a ReLU follows."""
    names = set()
    for name, part in net.named_modules():
        if isinstance(part, nn.Sequential):
            children = list(part.named_children())
            for (key, layer), (_, after) in pairwise(children):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.ReLU):
                    names.add(f"{name}.{key}")
    return names


def _fit(layer: nn.Conv2d, x: Tensor, target: Tensor, generator: torch.Generator, *, cut: bool) -> float:
    batch, channels, height, width = target.shape
    cells = height * width
    share = min(1.0, POSITIONS / (batch * cells))
    chosen = torch.randperm(cells, generator=generator)[: max(1, round(cells * share))]
    patches = _patches(layer, x, chosen)  # (groups, positions, taps of a group)
    wanted = target.flatten(2)[:, :, chosen].transpose(0, 1).reshape(channels, -1)  # (channels, positions)
    if cut:
        wanted = torch.where(wanted > 0, f.silu(wanted), wanted)
    per_group = channels // layer.groups
    left = 0.0
    for group in range(layer.groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        kernel = layer.weight[rows].flatten(1)
        solved, bias, rest = _solve(patches[group], wanted[rows], kernel, layer.bias[rows], cut)
        layer.weight[rows] = solved.view_as(layer.weight[rows])
        layer.bias[rows] = bias
        left += rest / layer.groups
    return left


def _patches(layer: nn.Conv2d, x: Tensor, chosen: Tensor) -> Tensor:
    """Return the values that the layer reads at some positions of every picture: (groups, positions, taps)."""
    size, stride, padding = layer.kernel_size, layer.stride, layer.padding
    assert isinstance(padding, tuple)
    if size == (1, 1) and stride == (1, 1):
        columns = x.flatten(2)[:, :, chosen]
    else:
        parts = [f.unfold(p, size, 1, padding, stride)[:, :, chosen] for p in x.split(8)]
        columns = torch.cat(parts)
    taps = columns.shape[1] // layer.groups
    return columns.view(len(x), layer.groups, taps, -1).permute(1, 0, 3, 2).reshape(layer.groups, -1, taps)


def _solve(
    x: Tensor, wanted: Tensor, kernel: Tensor, bias: Tensor, cut: bool
) -> tuple[Tensor, Tensor, float]:
    """Return kernel (channels, taps) and bias (channels,) of a ridge regression, and the variance that is left.

    The regression is drawn towards the previous kernel and bias. If an activation follows, all values below 0 are
    equivalent: where the target is below 0, the value found replaces it, and the regression is repeated (Zhang et al.
    2015, arXiv:1505.06798, section 3.2).
    """
    read = torch.cat((x, x.new_ones(len(x), 1)), 1)
    before = torch.cat((kernel, bias[:, None]), 1).T.double()
    ridge = torch.full((len(before),), RIDGE * float(x.square().mean()) * len(x) + 1e-9, dtype=torch.float64)
    ridge[-1] = 1e-9
    factor = torch.linalg.cholesky((read.T @ read).double() + torch.diag(ridge))
    goal, solved = wanted.T, before
    for _ in range(PASSES if cut else 1):
        target = goal
        if cut:
            found = read @ solved.float()
            target = torch.where(goal > 0, goal, found.clamp_max(0))
        solved = torch.cholesky_solve((read.T @ target).double() + ridge[:, None] * before, factor)
    found = read @ solved.float()
    if cut:
        found, goal = found.clamp_min(0), goal.clamp_min(0)
    missed, total = (found - goal).square().sum(), (goal - goal.mean(0)).square().sum()
    values = solved.T.to(kernel.dtype)
    return values[:, :-1], values[:, -1], float(missed / total.clamp_min(1e-12))
