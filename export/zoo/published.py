"""Published weights without names: the order in which the convolutions of a part lie in an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def convolutions(part: nn.Module, name: str) -> Iterator[str]:
    """Name the convolutions of a part in the order of its definition, which is that of its execution.

    Parameters
    ----------
    part : torch.nn.Module
    name : str
        The part's key in the network.
    """
    for key, module in part.named_modules(prefix=name):
        if isinstance(module, nn.Conv2d):
            yield key
