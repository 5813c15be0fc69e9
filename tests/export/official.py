"""The official networks as the fixtures know them: key lists, deterministic weights, inputs, outputs.

Also sane weights for judging quantization where trained ones cannot be had: `calibrated_weights`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.nets.efficienthrnet import SCALES, EfficientHRNet
from export.nets.hwl import Hwl
from export.nets.lpn import Lpn

VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "hwl": Hwl,
    "hwl-hsigmoid-half": lambda: Hwl(hard_sigmoid="half"),
    "hwl-mpii": lambda: Hwl(16),
    "lpn-50": lambda: Lpn(50),
    "lpn-101": lambda: Lpn(101),
    "lpn-152": lambda: Lpn(152),
    "lpn-50-mpii": lambda: Lpn(50, 16),
}
for _scale in SCALES:
    VARIANTS[f"efficienthrnet-{_scale}"] = lambda s=_scale: EfficientHRNet(s)  # type: ignore[misc]
    VARIANTS[f"efficienthrnet-{_scale}-ae2"] = lambda s=_scale: EfficientHRNet(s, tags_twice=True)  # type: ignore[misc]


@cache
def fill(shared: Path) -> Any:
    """The fixtures' own rule for weights and inputs, as a module."""
    spec = importlib.util.spec_from_file_location("fixture_fill", shared / "fixtures" / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(shared: Path, variant: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return what the fixtures say of a variant, and its keys with their shapes in the official order."""
    folder = shared / "fixtures" / variant
    meta = json.loads((folder / "meta.json").read_text())
    return meta, json.loads((folder / "state_dict_keys.json").read_text())


@cache
def filled_state(shared: Path, variant: str) -> dict[str, torch.Tensor]:
    """Return a variant's deterministic weights; the same each time, not to be changed."""
    meta, shapes = described(shared, variant)
    arrays = fill(shared).fill_arrays(shapes, meta["gain"], meta["transposed"])
    return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}


def calibrated_weights(net: nn.Module, images: Iterable[NDArray[np.float32]], seed: int = 0) -> nn.Module:
    """Give a network weights on which quantization behaves as on trained ones: seeded, statistics from real pictures.

    Kaiming-normal weights, batch norms that vary as trained ones do (scale 0.5 to 1.5, shift 0.3), and running
    statistics of one pass over all images together, so that every layer sees values of the size it was normalised for.

    Parameters
    ----------
    net : nn.Module
        Changed in place, left in evaluation mode.
    images : iterable of ndarray, float32, (1, 3, H, W)
        Normalised as the network's input; some 8 to 16 of one size.
    seed : int

    Returns
    -------
    nn.Module
        `net`.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            mode = "fan_out" if isinstance(module, nn.ConvTranspose2d) else "fan_in"
            nn.init.kaiming_normal_(module.weight, mode=mode, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.05, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.3, generator=generator)
            module.reset_running_stats()
            module.momentum = 1.0  # the statistics of the one batch, not a mixture with the initial ones
    with torch.no_grad():
        net.train()(torch.from_numpy(np.concatenate(list(images))))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return net.eval()
