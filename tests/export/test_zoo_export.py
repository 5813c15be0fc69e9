"""From weights to a float .tflite, whose outputs are those of the PyTorch network."""

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
from tests.export.official import VARIANTS, seeded_state

TOLERANCE = 1e-4
WIDTH, HEIGHT = 96, 64
NAMES = {
    "lpn-50": "lpn-50",
    "hwl": "hwl",
    "hwl-hsigmoid-half": "hwl-hsigmoid-half",
    "efficienthrnet-h4": "efficienthrnet-h4",
    "efficienthrnet-h4-ae2": "efficienthrnet-h4",
}


def as_pixels(normalised: NDArray[np.float32]) -> NDArray[np.float32]:
    """An input, (1, 3, H, W) after ImageNet's normalisation, as the file wants it."""
    pixels = normalised.transpose(0, 2, 3, 1).astype(np.float64) / IMAGENET_SCALE + IMAGENET_MEAN
    return np.asarray((pixels - 128) / 256, np.float32)


def expected_outputs(variant: str, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The outputs of the PyTorch network by the names of the file's, (H, W, 17) each.

    test_networks.py compares these networks with the official code.
    """
    net = VARIANTS[variant]().eval()
    net.load_state_dict(seeded_state(variant))
    with torch.inference_mode():
        outputs = net(torch.from_numpy(image))
    if not isinstance(outputs, tuple):
        return {"heatmaps": outputs[0].permute(1, 2, 0).numpy()}
    found = {}
    for stride, maps in zip((4, 2), outputs, strict=True):
        values = maps[0].permute(1, 2, 0).numpy()
        found[f"heatmaps_{stride}"] = values[..., :17]
        if values.shape[2] > 17:
            found[f"tags_{stride}"] = values[..., 17:]
    return found


@pytest.mark.parametrize(("variant", "name"), NAMES.items())
def test_the_float_file_computes_what_the_network_computes(tmp_path: Path, variant: str, name: str) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(seeded_state(variant), weights)
    size = ["--size", f"{WIDTH}x{HEIGHT}"]
    argv = ["--model", name, "--weights", str(weights), *size, "--output", str(tmp_path), "--json"]
    assert run_command(main, argv) == 0
    model = Model(tmp_path / f"{name}-{WIDTH}x{HEIGHT}-float32.tflite", threads=1)
    image = np.random.default_rng(0).normal(0, 1, (1, 3, HEIGHT, WIDTH)).astype(np.float32)
    model.input[:] = as_pixels(image)
    model.invoke()
    expected = expected_outputs(variant, image)
    assert sorted(o.name for o in model.card.outputs) == sorted(expected)
    for output in model.card.outputs:
        found = model.real_output(output.role, output.stride)
        bound = TOLERANCE * max(1.0, float(np.abs(expected[output.name]).max()))
        np.testing.assert_allclose(found, expected[output.name], rtol=0, atol=bound, err_msg=output.name)
