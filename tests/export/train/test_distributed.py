"""Two processes on one machine train what one process trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[3]


def train(folder: Path, output: str, *launcher: str) -> dict[str, np.ndarray]:
    words = [str(folder / "recipe.toml"), "--output", str(folder / output), "--path", f"pictures={folder}"]
    command = [sys.executable, *launcher, "-m", "export.train", *words, "--loaders", "0", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return load_file(folder / output / "weights.safetensors")


def test_torchrun_with_two_processes_trains_as_one(labelled: Path) -> None:
    recipe = labelled / "recipe.toml"
    text = recipe.read_text().replace('network = "tiny"', 'network = "lw-openpose"')
    recipe.write_text(text.replace('"64x64", "96x64"', '"64x64"').replace("rate = 1e-3", "rate = 1e-4"))
    one = train(labelled, "one")
    two = train(labelled, "two", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert np.abs(values - two[name]).max() < 1e-4, name  # eight steps of Adam move weights by up to 8e-4
    assert any(np.abs(v - two[k]).max() > 0 for k, v in one.items())
