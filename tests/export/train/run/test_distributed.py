"""Two processes on one machine train what one process trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[4]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


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
    two = train(labelled, "two", *TORCHRUN)
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert np.abs(values - two[name]).max() < 1e-4, name  # eight steps of Adam move weights by up to 8e-4
    assert any(np.abs(v - two[k]).max() > 0 for k, v in one.items())


def test_the_first_process_decides_when_it_is_time_to_stop(tmp_path: Path) -> None:
    script = tmp_path / "agree.py"
    script.write_text(
        "from export.train.run.distributed import join\n"
        "workers = join('cpu')\n"
        "first, second = workers.agree(workers.first), workers.agree(not workers.first)\n"
        f"open(f'{tmp_path}/{{workers.index}}', 'w').write(f'{{first}} {{second}}')\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *TORCHRUN, str(script)]
    subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    assert [(tmp_path / str(index)).read_text() for index in (0, 1)] == ["True False"] * 2
