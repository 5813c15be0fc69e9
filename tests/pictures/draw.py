"""Draw the README's picture: poses of two files on the pictures here.

python -m tests.pictures.draw FLOAT.tflite INT8.tflite
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from rpi_runtime.capture.pictures import read_picture, write_picture
from rpi_runtime.decode.paf import PafDecoder
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Track
from rpi_runtime.preprocess.letterbox import Preprocessor
from rpi_runtime.sinks.draw import draw_people

FOLDER = Path(__file__).parent
PICTURES = ("camera.jpg", "astronaut.jpg")


def with_poses(frame: Image, file: Path) -> Image:
    """Return the picture, halved, with the people that a file finds in it."""
    model = Model(file)
    transform = Preprocessor(model.card.input)(frame, model.input)
    model.invoke()
    people = [Track(id=0, pose=pose) for pose in PafDecoder(model.card).read(model, transform)]
    kind = "INT8" if model.card.recipe.startswith("w8") else "float"
    drawn = draw_people(frame, people, model.card.skeleton, f"{kind}, {model.card.input.size}")
    return np.ascontiguousarray(drawn.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)).astype(np.uint8))


def main() -> None:
    """Write poses.jpg: float and INT8 beside each other, for each picture."""
    files = [Path(f) for f in sys.argv[1:3]]
    panels = [with_poses(read_picture(FOLDER / name), file) for name in PICTURES for file in files]
    write_picture(np.concatenate(panels, axis=1), FOLDER / "poses.jpg")


if __name__ == "__main__":
    main()
