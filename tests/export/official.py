"""The official networks: seeded weights of our own, and what the fixtures know of them (keys, weights, outputs)."""

from __future__ import annotations

import importlib.util
import json
import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.zoo.efficienthrnet.module import EfficientHRNet
from export.zoo.efficienthrnet.scales import SCALES
from export.zoo.hwl.module import Hwl
from export.zoo.lpn.module import Lpn

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
    _name = f"efficienthrnet-{_scale.replace('-', '')}"
    VARIANTS[_name] = lambda s=_scale: EfficientHRNet(s)  # type: ignore[misc]
    VARIANTS[f"{_name}-ae2"] = lambda s=_scale: EfficientHRNet(s, tags_twice=True)  # type: ignore[misc]


@cache
def fill(shared: Path) -> Any:
    """The fixtures' own rule for weights and inputs, as a module."""
    spec = importlib.util.spec_from_file_location("fixture_fill", shared / "fixtures" / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fixtures(shared: Path, variant: str) -> Path:
    """Return a variant's folder; the fixtures write EfficientHRNet's scales below H0 as the paper does, H-1."""
    return shared / "fixtures" / re.sub(r"^(efficienthrnet-h)([1-4])", r"\1-\2", variant)


def described(shared: Path, variant: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return what the fixtures say of a variant, and its keys with their shapes in the official order."""
    folder = fixtures(shared, variant)
    meta = json.loads((folder / "meta.json").read_text())
    return meta, json.loads((folder / "state_dict_keys.json").read_text())


@cache
def filled_state(shared: Path, variant: str) -> dict[str, torch.Tensor]:
    """Return a variant's deterministic weights; the same each time, not to be changed."""
    meta, shapes = described(shared, variant)
    arrays = fill(shared).fill_arrays(shapes, meta["gain"], meta["transposed"])
    return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}


@cache
def seeded_state(variant: str) -> dict[str, torch.Tensor]:
    """Return weights of our own under a variant's keys; the same each time, not to be changed.

    Scales and running statistics of normalisations are drawn, too, so that none of them can be left out unseen.
    """
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in VARIANTS[variant]().state_dict().items()}
    return {key: _drawn(key, shape) for key, shape in shapes.items()}


def _drawn(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw one tensor by its key."""
    random = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
        return torch.from_numpy(random.uniform(0.8, 1.2, shape).astype(np.float32))
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
    return torch.from_numpy(random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32))
