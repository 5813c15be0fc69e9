"""From official weights to a float .tflite, whose outputs are those of the official code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.tflite import main
from export.zoo.inputs import IMAGENET_MEAN, IMAGENET_SCALE
from quant.cli import run_command
from rpi_runtime.model.interpreter import Model
from tests.export.official import fill, filled_state, fixtures

TOLERANCE = 1e-4
WIDTH, HEIGHT = 96, 64
VARIANTS = {
    "lpn-50": "lpn-50",
    "hwl": "hwl",
    "hwl-hsigmoid-half": "hwl-hsigmoid-half",
    "efficienthrnet-h4": "efficienthrnet-h4",
    "efficienthrnet-h4-ae2": "efficienthrnet-h4",
}


def as_pixels(normalised: NDArray[np.float32]) -> NDArray[np.float32]:
    """The fixtures' input, (1, 3, H, W) after ImageNet's normalisation, as the file wants it."""
    pixels = normalised.transpose(0, 2, 3, 1).astype(np.float64) / IMAGENET_SCALE + IMAGENET_MEAN
    return np.asarray((pixels - 128) / 256, np.float32)


def expected_outputs(path: Path) -> dict[str, NDArray[np.float32]]:
    """The official outputs by the names of the file's: (H, W, 17) each."""
    maps = np.load(path)
    if "heatmaps" in maps:
        return {"heatmaps": maps["heatmaps"][0].transpose(1, 2, 0)}
    found = {}
    for name, stride in (("out0", 4), ("out1", 2)):
        values = maps[name][0].transpose(1, 2, 0)
        found[f"heatmaps_{stride}"] = values[..., :17]
        if values.shape[2] > 17:
            found[f"tags_{stride}"] = values[..., 17:]
    return found


@pytest.mark.parametrize(("variant", "name"), VARIANTS.items())
def test_the_float_file_computes_what_the_official_code_computes(
    shared: Path, tmp_path: Path, variant: str, name: str
) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(filled_state(shared, variant), weights)
    size = ["--size", f"{WIDTH}x{HEIGHT}"]
    argv = ["--model", name, "--weights", str(weights), *size, "--output", str(tmp_path), "--json"]
    assert run_command(main, argv) == 0
    model = Model(tmp_path / f"{name}-{WIDTH}x{HEIGHT}-float32.tflite", threads=1)
    model.input[:] = as_pixels(fill(shared).make_input(HEIGHT, WIDTH))
    model.invoke()
    expected = expected_outputs(fixtures(shared, variant) / f"outputs_{HEIGHT}x{WIDTH}.npz")
    assert sorted(o.name for o in model.card.outputs) == sorted(expected)
    for output in model.card.outputs:
        found = model.real_output(output.role, output.stride)
        np.testing.assert_allclose(found, expected[output.name], atol=TOLERANCE, err_msg=output.name)
