"""EfficientHRNet as it is exported: one output per quantity, and heads that need no concatenation.

For INT8 each output must have a scale of its own, and heatmaps and tags differ in theirs by a factor of ten. In the
published graph the first head ``out0 = A x + b`` returns to the deconvolution beside its own input,
``D concat(x, A x + b) = (D_x + D_o A) x + D_o b``, and a concatenation forces one scale on all of it. Since all of that
is linear in `x`, one smaller deconvolution of `x` does the same; ``D_o b`` is a constant map (not a constant bias: the
border sees fewer taps). The values are the published ones, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.zoo.efficienthrnet.module import EfficientHRNet
from export.zoo.efficienthrnet.scales import JOINTS, STRIDES


class EfficientHRNetForm(nn.Module):
    """The network for one input size.

    Parameters
    ----------
    net : EfficientHRNet
        In evaluation mode; shared, not changed.
    width, height : int
        Size of the input.
    """

    offset: Tensor

    def __init__(self, net: EfficientHRNet, width: int, height: int) -> None:
        super().__init__()
        self.net = net
        first, second = net.final_layers
        assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
        self.heads = nn.ModuleList(_part(first, i) for i in range(2))
        self.second_heads = nn.ModuleList(_part(second, i) for i in range(second.out_channels // JOINTS))
        self.up, offset = _deconvolution_of_x(net, first, width // STRIDES[0], height // STRIDES[0])
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) -> heatmaps and tags, (1, 17, H/4, W/4) each; heatmaps, and tags if any, (1, 17, H/2, W/2)."""
        x = self.net.trunk(x)
        _, *blocks = self.net.deconv_layers[0]
        y = functional.relu(self.up(x) + self.offset)
        for block in blocks:
            y = block(y)
        return (*(head(x) for head in self.heads), *(head(y) for head in self.second_heads))


def split(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the published outputs in the form's parts: heatmaps and tags of the first, then of the second."""
    return tuple(part for maps in outputs for part in maps.split(JOINTS, dim=1))


def _part(head: nn.Conv2d, index: int) -> nn.Conv2d:
    """The 1x1 convolution to 17 of a head's channels."""
    part = nn.Conv2d(head.in_channels, JOINTS, 1)
    rows = slice(index * JOINTS, (index + 1) * JOINTS)
    assert head.bias is not None and part.bias is not None
    part.weight.data, part.bias.data = head.weight.data[rows].clone(), head.bias.data[rows].clone()
    return part


def _deconvolution_of_x(
    net: EfficientHRNet, head: nn.Conv2d, width: int, height: int
) -> tuple[nn.ConvTranspose2d, Tensor]:
    """Fold first head, concatenation and batch norm into the transposed convolution, in float64."""
    deconv, norm, _ = net.deconv_layers[0][0]
    kernel = deconv.weight.data.double()  # (in, out, 4, 4)
    of_x, of_head = kernel[: head.in_channels], kernel[head.in_channels :]
    assert head.bias is not None
    matrix = head.weight.data.double()[:, :, 0, 0]  # (34, in)
    constant = head.bias.data.double().reshape(1, -1, 1, 1).expand(1, -1, height, width)
    offset = functional.conv_transpose2d(constant, of_head, stride=2, padding=1)
    factor = norm.weight.data.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.data.double() - norm.running_mean.double() * factor
    combined = (of_x + torch.einsum("oc,oukl->cukl", matrix, of_head)) * factor.reshape(1, -1, 1, 1)
    up = nn.ConvTranspose2d(head.in_channels, deconv.out_channels, 4, 2, 1, bias=False)
    up.weight.data = combined.float()
    return up, (offset * factor.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)).float()
