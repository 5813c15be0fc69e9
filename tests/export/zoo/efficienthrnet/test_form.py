"""The form of EfficientHRNet that is exported computes what the published one computes."""

from __future__ import annotations

import pytest
import torch

from export.zoo.efficienthrnet.form import EfficientHRNetForm, split
from export.zoo.efficienthrnet.module import EfficientHRNet


def randomized(*, tags_twice: bool) -> EfficientHRNet:
    """H-4 with biases and statistics that are not their initial zeros and ones."""
    torch.manual_seed(2)
    net = EfficientHRNet("h-4", tags_twice=tags_twice).eval()
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith(("bias", "running_mean")):
                value.normal_(0, 0.5)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
    return net


@pytest.mark.parametrize("tags_twice", [False, True])
def test_the_outputs_are_the_published_ones_at_the_border_too(tags_twice: bool) -> None:
    net = randomized(tags_twice=tags_twice)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    image = torch.rand(1, 3, 64, 96) - 0.5
    with torch.inference_mode():
        expected = split(net(image))
        found = EfficientHRNetForm(net, 96, 64)(image)
    assert len(found) == len(expected) == (4 if tags_twice else 3)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])


def test_the_offset_is_no_constant_bias() -> None:
    form = EfficientHRNetForm(randomized(tags_twice=False), 96, 64)
    inner, edge = form.offset[..., 1, 10], form.offset[..., 0, 10]
    assert form.offset.shape == (1, 14, 32, 48)
    assert float((inner - edge).abs().max()) > 1e-2
