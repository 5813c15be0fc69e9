from __future__ import annotations

import pytest
import torch
from torch import nn

from export.train.run.precision import Float32Conv2d, keep_unsafe_in_float32


@pytest.mark.parametrize(
    ("layer", "unsafe"),
    [
        (nn.Conv2d(88, 88, 3, padding=2, dilation=2), True),
        (nn.Conv2d(96, 88, 3, padding=2, dilation=2), True),
        (nn.Conv2d(96, 96, 3, padding=2, dilation=2), False),
        (nn.Conv2d(88, 88, 3, padding=1), False),
        (nn.Conv2d(88, 88, 3, padding=2, dilation=2, groups=88), False),
    ],
)
def test_only_dilated_layers_with_odd_channels_stay_in_float32(layer: nn.Conv2d, unsafe: bool) -> None:
    net = nn.Sequential(layer)
    before = set(net.state_dict())
    keep_unsafe_in_float32(net)
    assert isinstance(layer, Float32Conv2d) == unsafe
    assert set(net.state_dict()) == before
    with torch.autocast("cpu", torch.bfloat16):
        result = net(torch.rand(1, layer.in_channels, 8, 8))
    assert result.dtype == (torch.float32 if unsafe else torch.bfloat16)
