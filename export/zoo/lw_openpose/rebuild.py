"""Repair a pruned network layer by layer: each convolution is solved for what the large one made of the same picture.

In the order of the data, every convolution of the small network gets the weights that, on what the repaired layers
before it really give, come nearest in least squares to the large network's own result before its activation. So
the errors of earlier layers are corrected by later ones instead of adding up (asymmetric reconstruction; Zhang et
al. 2015, arXiv:1505.06798, section 3.2). No gradient is needed: one linear system a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.zoo.lw_openpose.module import LwOpenPose

PIXELS = 400  # per picture and layer
RIDGE = 1e-3  # towards the pruned weights, of an input's energy


def rebuild(
    large: LwOpenPose,
    small: LwOpenPose,
    made: dict[str, tuple[Tensor, Tensor]],
    counterparts: dict[str, str],
    pictures: Tensor,
) -> None:
    """Solve every convolution of `small` in place.

    Parameters
    ----------
    large, small : LwOpenPose
    made : dict
        For each convolution of the large one which of its output channels are left, and what they were multiplied by.
    counterparts : dict
        The large one's convolution where it has another name; "" where there is none, and the weights stay.
    pictures : Tensor, shape (N, 3, H, W)
    """
    theirs, ours = dict(large.named_modules()), dict(small.named_modules())
    for name in _order(small, pictures[:1]):
        convolution = ours[name]
        assert isinstance(convolution, nn.Conv2d)
        counterpart = counterparts.get(name, name)
        if not counterpart:
            continue
        kept, factor = made.get(counterpart, (torch.arange(convolution.out_channels), torch.ones(1)))
        rng = torch.Generator().manual_seed(0)
        system = None
        for some in pictures.split(4):
            wanted = _reach(large, theirs[counterpart], some)[1][:, kept] * factor.float()[:, None, None]
            given = _reach(small, convolution, some)[0]
            new = _system(convolution, given, wanted, rng)
            system = new if system is None else (system[0] + new[0], system[1] + new[1])
        assert system is not None
        _solve(convolution, *system)


class _Reached(Exception):  # noqa: N818  no error: the rest of the forward pass is not needed
    """Carries what a layer took in and gave."""


def _reach(net: nn.Module, layer: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output of one layer."""

    def stop(_: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> None:
        raise _Reached(args[0], result)

    handle = layer.register_forward_hook(stop)
    try:
        with torch.inference_mode():
            net(pictures)
    except _Reached as reached:
        given, result = reached.args
        return given, result
    finally:
        handle.remove()
    raise AssertionError("a layer that no picture reaches")


def _order(net: nn.Module, picture: Tensor) -> list[str]:
    """Names of the convolutions in the order in which the data meets them."""
    names: list[str] = []
    handles = [
        m.register_forward_hook(lambda *_, name=n: names.append(name))
        for n, m in net.named_modules()
        if isinstance(m, nn.Conv2d)
    ]
    with torch.inference_mode():
        net(picture)
    for handle in handles:
        handle.remove()
    return names


def _system(
    convolution: nn.Conv2d, given: Tensor, wanted: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sums of the normal equations over some pixels, in groups: (g, n, n) and (g, n, o), the last input being 1."""
    groups = convolution.groups
    columns = functional.unfold(
        given,
        convolution.kernel_size,
        convolution.dilation,
        convolution.padding,
        convolution.stride,
    )
    # columns: (N, C * k * k, pixels)
    some = torch.randperm(columns.shape[2], generator=rng)[:PIXELS]
    x = columns[:, :, some].permute(1, 0, 2).flatten(1).double()
    y = wanted.flatten(2)[:, :, some].permute(1, 0, 2).flatten(1).double()
    x, y = x.unflatten(0, (groups, -1)), y.unflatten(0, (groups, -1))
    x = torch.cat((x, torch.ones_like(x[:, :1])), dim=1)
    return x @ x.transpose(1, 2), x @ y.transpose(1, 2)


def _solve(convolution: nn.Conv2d, energy: Tensor, products: Tensor) -> None:
    """Ridge regression round the weights that are there."""
    groups = convolution.groups
    weight, bias = convolution.weight.data, convolution.bias
    assert bias is not None
    before = torch.cat((weight.flatten(1), bias.data[:, None]), dim=1).double()
    before = before.unflatten(0, (groups, -1)).transpose(1, 2)  # (g, n, o)
    ridge = torch.diag_embed(energy.diagonal(dim1=1, dim2=2) * RIDGE + 1e-9)
    change = torch.linalg.solve(energy + ridge, products - energy @ before)
    after = (before + change).transpose(1, 2).flatten(0, 1)
    weight.copy_(after[:, :-1].reshape(weight.shape))
    bias.data.copy_(after[:, -1])
