"""What the networks of the zoo are in INT8: operations, partitions, what is float, signal to noise, latency.

    python -m tests.benchmarks.zoo --coco DIR --output DIR
    python -m tests.benchmarks.zoo --coco DIR --output DIR --models hwl,lpn-50 --weights hwl=FILE --threads 2

A network without --weights gets seeded random ones, with batch norm statistics of the calibration pictures: good for
operations and latency; its signal to noise is that of a network that was not trained, which amplifies noise from layer
to layer: beside it stands what the float file makes of rounding noise in its input alone. Latencies are of one run in
which all files take turns, over that of lw-openpose at 456x256 in the same format; with one thread they are processor
time, in which other processes do not count. Files that are in --output already are measured and not made again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.cli import run_command
from quant.quiet import quiet

with quiet():
    import torch
    from torch import nn

    from export.integers import input_grid
    from export.zoo.registry import MODELS, find_model
    from quant.calibration import CalibrationSet, choose_images, read_calibration
    from quant.cost import least_times
    from quant.judge.gate import check_delegation, check_floats
    from quant.quantize.quantizer import Quantizer
    from quant.recipe import load_recipe
    from quant.tflite.read import read_model
    from quant.tflite.write import write_model
    from rpi_runtime.model.card import InputSpec
    from rpi_runtime.model.delegation import delegation_of
    from rpi_runtime.model.interpreter import find_module
    from rpi_runtime.preprocess.letterbox import Preprocessor

REFERENCE = "lw-openpose"
KINDS = ("float32", "int8")
INT8 = "w8c_a8_eq"
Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The two files of one network."""

    name: str
    size: str
    weights: str
    files: dict[str, Path]


def settled(net: nn.Module, images: torch.Tensor) -> nn.Module:
    """A network whose batch norm statistics are those of the images, (N, 3, H, W) as it wants them."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train()(images)
    return net.eval()


def random_weights(name: str, calibration: CalibrationSet, folder: Path) -> Path:
    """Write a state_dict of seeded weights; return its path."""
    torch.manual_seed(0)
    net = find_model(name).bare()
    width, height = find_model(name).facts.size
    images = np.concatenate(list(calibration.inputs(InputSpec(width=width, height=height))))
    # about the spread that ImageNet's scales give
    settled(net, torch.from_numpy(4 * images.transpose(0, 3, 1, 2)))
    path = folder / f"{name}.pth"
    torch.save(net.state_dict(), path)
    return path


def make(name: str, weights: str | None, calibration: CalibrationSet, output: Path) -> Made:
    """Make both files of a network, or find them."""
    width, height = find_model(name).facts.size
    files = {kind: output / f"{name}-{width}x{height}-{kind}.tflite" for kind in KINDS}
    made = Made(name=name, size=f"{width}x{height}", weights=weights or "random", files=files)
    if all(path.exists() for path in files.values()):
        return made
    with tempfile.TemporaryDirectory() as folder, quiet():
        source = weights or str(random_weights(name, calibration, Path(folder)))
        network = find_model(name).load(source)
        card = network.card_at(width, height)

        real = network.build(card.input).model
        quantizer = Quantizer(real, list(calibration.inputs(card.input)), input_grid(card.input))
        files["float32"].write_bytes(write_model(real))
        files["int8"].write_bytes(write_model(quantizer.quantize(load_recipe(INT8)).model))
    return made


def opened(path: Path, threads: int) -> Any:
    """An interpreter, allocated."""
    _, module = find_module()
    interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def outputs(interpreter: Any, image: NDArray[Any]) -> Outputs:
    """Real outputs by name, of an input as the file takes it."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found = {}
    for name, details in interpreter.get_signature_runner().get_output_details().items():
        scale, zero = details["quantization"]
        value = interpreter.get_tensor(details["index"]).astype(np.float32)
        found[name] = (value - zero) * scale if scale else value
    return found


def signal_to_noise(made: Made, calibration: CalibrationSet) -> dict[str, tuple[float, float]]:
    """Energy of the float output over that of two differences to it, decibels, all pictures together.

    The one is to the INT8 output, the other to the float output of an image with half a pixel value of uniform noise:
    as much as one quantized tensor at the entry would add.
    """
    width, height = map(int, made.size.split("x"))
    real_run, int8_run = (opened(made.files[kind], 1) for kind in KINDS)
    scale, zero = int8_run.get_input_details()[0]["quantization"]
    prepare = Preprocessor(InputSpec(width=width, height=height))
    stored = np.empty((1, height, width, 3), np.int8)
    energies: dict[str, NDArray[np.float64]] = {}  # of the output and of both differences
    rng = np.random.default_rng(0)
    for frame in calibration.frames:
        prepare(frame, stored)
        image = (stored.astype(np.float32) - zero) * np.float32(scale)
        rounding = rng.uniform(-0.5, 0.5, image.shape).astype(np.float32) * np.float32(scale)
        real, shaken = outputs(real_run, image), outputs(real_run, image + rounding)
        for name, quantized in outputs(int8_run, stored).items():
            parts = (real[name], real[name] - quantized, real[name] - shaken[name])
            found = np.array([np.square(part, dtype=np.float64).sum() for part in parts])
            energies[name] = energies.get(name, np.zeros(3)) + found
    decibels = {name: 10 * np.log10(e[0] / np.maximum(e[1:], 1e-30)) for name, e in energies.items()}
    return {name: (float(d[0]), float(d[1])) for name, d in decibels.items()}


def describe(made: Made, calibration: CalibrationSet) -> None:
    """Print what the INT8 file of a network is."""
    data = made.files["int8"].read_bytes()
    model = read_model(data)
    delegation = delegation_of(opened(made.files["int8"], 1)._get_ops_details())
    counts = model.count_operators().most_common()
    print(f"\n{made.name} {made.size}, weights: {made.weights}, {len(data) / 1e6:.2f} MB")
    print(f"  operations  {', '.join(f'{count} {name}' for name, count in counts)}")
    print(f"  delegation  {delegation}")
    for check in (*check_delegation(delegation, model)[1:], *check_floats(model)):
        print(f"  {check.name}: {check.found}")
    noise = signal_to_noise(made, calibration)
    for name, (quantized, shaken) in noise.items():
        print(
            f"  signal to noise of {name}: {quantized:.1f} dB (float, rounding noise in: {shaken:.1f})",
            flush=True,
        )


def race(zoo: list[Made], threads: int, repeats: int) -> None:
    """Print latencies, all files in turn."""
    print(
        f"\n{'network':<20} {'size':<8} {'float32 ms':>10} {'int8 ms':>8}  over lw-openpose: {'float32':>7} {'int8':>6}"
    )
    runs = [opened(made.files[kind], threads) for made in zoo for kind in KINDS]
    # the one is not disturbed by other processes
    clock = time.thread_time if threads == 1 else time.perf_counter
    times = np.reshape(least_times(runs, repeats, clock), (len(zoo), len(KINDS))) * 1e3
    base = next((t for made, t in zip(zoo, times, strict=True) if made.name == REFERENCE), [np.nan, np.nan])
    for made, (real, quantized) in zip(zoo, times, strict=True):
        shares = f"{real / base[0]:25.2f} {quantized / base[1]:6.2f}"
        print(f"{made.name:<20} {made.size:<8} {real:10.2f} {quantized:8.2f} {shares}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Make, describe and time."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.zoo", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--coco", type=Path, required=True, help="its train2017 calibrates")
    parser.add_argument("--output", type=Path, required=True, help="where the files are kept")
    parser.add_argument("--models", default=",".join(MODELS), help="names, with commas (default: all)")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--calibration-images", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20, help="the least of this many runs counts")
    args = parser.parse_args(argv)
    given = dict(text.split("=", 1) for text in args.weights)
    calibration = read_calibration(*choose_images(args.coco, args.calibration_images), [])
    args.output.mkdir(parents=True, exist_ok=True)
    zoo = []
    for name in args.models.split(","):
        made = make(name, given.get(name), calibration, args.output)
        describe(made, calibration)
        zoo.append(made)
    race(zoo, args.threads, args.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
