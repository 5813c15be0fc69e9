"""Where people are on the package's calibration pictures, as a finder sees them: people.json beside the pictures.

python -m tests.pictures.people models/person-finder-320x320-int8.tflite

Networks of crops are calibrated on these boxes, the largest person of each picture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from export.calibration.sources import FOLDER, PEOPLE, SUMS
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.files import write_text
from rpi_runtime.model.interpreter import Model
from rpi_runtime.preprocess.letterbox import Preprocessor


def main(finder: str) -> None:
    """Write the file."""
    model = Model(Path(finder))
    prepare, decode = Preprocessor(model.card.input), decoder_for(model.card)
    found = {}
    for line in (FOLDER / SUMS).read_text().splitlines():
        name = line.split()[1]
        frame = read_picture((FOLDER / name).read_bytes(), name)
        transform = prepare(frame, model.input)
        model.invoke()
        boxes = [pose.box for pose in decode.read(model, transform) if pose.box is not None]
        if boxes:
            found[name] = [round(v, 1) for v in max(boxes, key=lambda b: b[2] * b[3])]
    write_text(FOLDER / PEOPLE, json.dumps(found, indent=0, sort_keys=True) + "\n")
    print(f"{len(found)} pictures with people -> {FOLDER / PEOPLE}")


if __name__ == "__main__":
    main(sys.argv[1])
