from __future__ import annotations

import pytest
import torch

from export.zoo.lw_openpose.balance import balance
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.widths import BACKBONE, Widths

ROWS = tuple((8, 8, stride, dilation) for _, _, stride, dilation in BACKBONE)
BLOCK = "refinement_stages.0.trunk.3"


def network(*, separable: bool) -> LwOpenPose:
    """A network one of whose residual sums has a channel a thousand times larger than the others."""
    torch.manual_seed(0)
    widths = Widths(backbone=ROWS, features=8, hidden=8, refinement=8, separable=separable)
    net = LwOpenPose("omz", widths=widths).eval()
    modules = dict(net.named_modules())
    with torch.no_grad():
        for name in (f"{BLOCK}.initial.0", f"{BLOCK}.trunk.1.{int(separable)}"):
            modules[name].weight[2] *= 1000
            modules[name].bias[2] = 1000.0
    return net


def reach(net: LwOpenPose, pictures: torch.Tensor) -> torch.Tensor:
    found: list[torch.Tensor] = []
    module = dict(net.named_modules())[BLOCK]
    handle = module.register_forward_hook(lambda *args: found.append(args[2].amax((0, 2, 3))))
    with torch.inference_mode():
        net(pictures)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("separable", [False, True])
def test_outlier_channels_shrink_and_the_function_stays(separable: bool) -> None:
    net = network(separable=separable)
    pictures = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.inference_mode():
        before = net(pictures)
    awake = reach(net, pictures)
    assert awake.max() > 100 * awake[awake > 0].median()
    assert balance(net, pictures) > 0
    awake = reach(net, pictures)
    assert awake.max() <= 1.01 * awake[awake > 0].median()
    with torch.inference_mode():
        after = net(pictures)
    for a, b in zip(after, before, strict=True):
        assert (a - b).abs().max() < 1e-5 * b.abs().max()


def test_a_sum_that_no_picture_wakes_stays_as_it_is() -> None:
    net = network(separable=False)
    modules = dict(net.named_modules())
    with torch.no_grad():
        for name in (f"{BLOCK}.initial.0", f"{BLOCK}.trunk.1.0"):
            modules[name].weight.zero_()
            modules[name].bias.zero_()
    pictures = torch.rand(2, 3, 64, 64) - 0.5
    before = {k: v.clone() for k, v in net.state_dict().items() if k.startswith(BLOCK)}
    balance(net, pictures)
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert all(v.isfinite().all() for v in net.state_dict().values())
