"""Write the calibration pictures that come with the package.

    python -m tests.pictures.calibration
    python -m tests.pictures.calibration --choose --weights W.xml --coco DIR

Scenes with people are put together at random from the free pictures here (`tests.pictures.scenes`), so that no
photograph that belongs to anybody is in the package. Of the first CANDIDATES scenes those are chosen whose channel
maxima and mean squares, in every rectified layer of Lightweight OpenPose, come nearest to what real pictures
(COCO train2017) make of them: the statistics that equalization and ranges are made from. The idea to judge
calibration input by the statistics of layers is that of Cai et al. 2020, "ZeroQ", arXiv:2001.00281, which optimizes
pixels; here whole pictures are chosen, so that they still show people to networks that had no part in it.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.calibration.sources import FOLDER, SUMS
from quant.cli import run_command
from rpi_runtime.capture.pictures import encode_picture, read_picture
from rpi_runtime.errors import UsageError
from rpi_runtime.files import write_bytes, write_text
from rpi_runtime.poses import Image
from tests.pictures.scenes import Studio

# what --choose gave with the weights of Open Model Zoo, at 160x120
CHOSEN = (
    260, 133, 231, 143, 280, 359, 361, 251, 261, 52, 129, 237, 172, 353, 46, 380,
    196, 346, 309, 330, 100, 116, 123, 332, 177, 317, 92, 339, 54, 179, 184, 354,
)  # fmt: skip
CANDIDATES, SIZE, QUALITY = 400, (160, 120), 85
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """Per picture and channel of every rectified layer, (N, C): maximum and mean square."""

    maximum: Values
    square: Values


def measure(weights: str, frames: Iterable[Image]) -> Statistics:
    """Run pictures through the float network."""
    from export.zoo.registry import find_model
    from quant.calibration import CalibrationSet, Manifest
    from quant.quantize.observe import Probe

    network = find_model("lw-openpose").load(weights)
    card = network.card_at(*SIZE)
    model = network.build(card.input).model
    rectified = [op.outputs[0] for op in model.operators if op.activation == "RELU"]
    probe = Probe(model, rectified)
    maxima, squares = [], []
    for frame in frames:
        one = CalibrationSet(manifest=Manifest(source="", images=()), frames=(frame,), skipped=())
        (image,) = one.inputs(card.input, span=False)
        values = [value.reshape(-1, value.shape[-1]) for _, value in probe.run(image)]
        maxima.append(np.concatenate([v.max(axis=0) for v in values]))
        squares.append(np.concatenate([np.square(v).mean(axis=0) for v in values]))
    return Statistics(maximum=np.array(maxima), square=np.array(squares))


def choose(scenes: Statistics, real: Statistics, count: int) -> list[int]:
    """Choose scenes one by one, then look once for a better one in every place."""
    rng = np.random.default_rng(0)
    # the maximum that so many real pictures usually reach
    draws = [real.maximum[rng.choice(len(real.maximum), count, False)].max(0) for _ in range(20)]
    goal = np.exp(np.mean(np.log(np.maximum(draws, 1e-3)), axis=0))
    usual = real.square.mean(0)

    def distance(chosen: list[int]) -> float:
        """Mean squared difference of logarithms, of maxima and of root mean squares."""
        peak = np.log(np.maximum(scenes.maximum[chosen].max(0), 1e-3) / goal)
        mean = scenes.square[chosen].mean(0)
        level = 0.5 * np.log((mean + 1e-4 * usual + 1e-9) / (usual + 1e-4 * usual + 1e-9))
        both = np.clip(peak, -2, 2) ** 2 + np.clip(level, -2, 2) ** 2
        return float(np.where(goal > 2e-3, both, 0).mean())

    def best(rest: list[int]) -> int:
        return min(
            (i for i in range(len(scenes.maximum)) if i not in rest), key=lambda i: distance([*rest, i])
        )

    chosen: list[int] = []
    for _ in range(count):
        chosen.append(best(chosen))
    for place in range(count):
        chosen[place] = best(chosen[:place] + chosen[place + 1 :])
    return chosen


def write_pictures(numbers: Iterable[int], folder: Path) -> None:
    """Write the scenes as JPEG files, and their hashes as ``sha256sum`` does."""
    studio, lines = Studio(), []
    for index, number in enumerate(numbers):
        data = encode_picture(studio.scene(number), ".jpg", QUALITY)
        name = f"scene{index:02}.jpg"
        write_bytes(folder / name, data)
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
    write_text(folder / SUMS, "".join(lines))


def main(argv: list[str] | None = None) -> int:
    """Write the pictures; with --choose, choose them again first and print which."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.pictures.calibration", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--weights", help="with --choose")
    parser.add_argument("--coco", type=Path, help="with --choose: train2017 is the real pictures")
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="DIR", help="default %(default)s")
    args = parser.parse_args(argv)
    numbers = list(CHOSEN)
    if args.choose:
        if not (args.weights and args.coco):
            raise UsageError("--choose needs --weights and --coco")
        studio, pictures = Studio(), sorted((args.coco / "train2017").glob("*.jpg"))
        scenes = measure(args.weights, (studio.scene(n) for n in range(CANDIDATES)))
        real = measure(args.weights, map(read_picture, pictures))
        numbers = choose(scenes, real, len(CHOSEN))
        print(numbers)
    write_pictures(numbers, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
