"""Label pictures with a trained network, so that the people it finds train another one.

python -m export.train.label PICTURES --model TEACHER.tflite --output LABELS.json

A teacher that processes larger pictures than its student finds people that the student would miss (self-training; Xie
et al. 2020, arXiv:1911.04252). The labels are in COCO's keypoint format, so that real and made ones are read alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.train.data.pictures import PictureStore
from export.zoo.skeletons import COCO_17
from quant.cli import run_command
from quant.progress import Progress
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.decode.paf import PafDecode
from rpi_runtime.errors import CardError, UsageError
from rpi_runtime.evaluate.coco_pose import coco_points
from rpi_runtime.files import write_text
from rpi_runtime.model.card import Skeleton
from rpi_runtime.model.decoders import PafDecoder
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Preprocessor

MIN_KEYPOINTS = 4  # a person with fewer keypoints teaches too little


def label(
    store: PictureStore, teacher: Path, progress: Progress, threads: int | None = None
) -> dict[str, Any]:
    """Run the teacher over every picture.

    Returns
    -------
    dict
        COCO's keypoint annotations; `info` names the teacher by its file's sha256. A person's keypoints that the
        teacher did not see have flag 0, the others 2.

    Raises
    ------
    CardError
        The teacher is not a PAF network with COCO keypoints.
    """
    model = Model(teacher, threads=threads)
    card = model.card
    if not isinstance(card.decoder, PafDecoder) or not card.skeleton.coco:
        raise CardError(f"{teacher}: a teacher needs heatmaps, PAFs and COCO's keypoints")
    prepare, decoder = Preprocessor(card.input), PafDecode(card)
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    with progress.items("labelling", len(store)) as step:
        for number, name in enumerate(store, 1):
            frame = read_picture(store.read(name), name)
            transform = prepare(frame, model.input)
            model.invoke()
            height, width = frame.shape[:2]
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            found = (_person(pose, card.skeleton) for pose in decoder.read(model, transform))
            for person in found:
                if person["num_keypoints"] >= MIN_KEYPOINTS:
                    people.append({"id": len(people) + 1, "image_id": number, **person})
            step(1)
    origin = hashlib.sha256(teacher.read_bytes()).hexdigest()
    return {
        "info": {"description": f"labelled by {card.name} {card.input.size}, sha256 {origin}"},
        "images": images,
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}],
    }


def _person(pose: Pose, skeleton: Skeleton) -> dict[str, Any]:
    points = coco_points(pose, skeleton, flag=2)
    seen = points[points[:, 2] > 0, :2]
    (left, top), (right, bottom) = (seen.min(0), seen.max(0)) if len(seen) else (np.zeros(2), np.zeros(2))
    box = [float(v) for v in (left, top, right - left, bottom - top)]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [round(float(v), 2) for v in points.reshape(-1)],
        "num_keypoints": len(seen),
        "bbox": [round(v, 2) for v in box],
        "area": round(box[2] * box[3], 2),
        "score": round(float(pose.score), 3),
    }


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python -m export.train.label",
        description="Label pictures with a trained network, in COCO's keypoint format.",
        epilog="Example: python -m export.train.label ~/pictures --model models/lw-openpose-496x368-int8.tflite "
        "--output labels.json\n\nA large input sees small people; the student may be as small as it likes.\n\n"
        "Exit codes: 0 done, 2 wrong usage, 3 bad input, 5 output not writable, 8 a package is missing, 130 Ctrl-C.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "pictures", type=Path, metavar="PICTURES", help="folder of pictures, or of .tar shards"
    )
    result.add_argument(
        "--model", type=Path, required=True, metavar="FILE", help="the teacher, a .tflite of pipose"
    )
    result.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="where to write the labels"
    )
    result.add_argument("--threads", type=int, metavar="N", help="of the interpreter")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Label and write."""
    args = parser().parse_args(argv)
    if args.output.suffix != ".json":
        raise UsageError(f"--output {args.output}: expected a .json")
    progress = Progress()
    labels = label(PictureStore(args.pictures), args.model, progress, args.threads)
    write_text(args.output, json.dumps(labels))
    progress.say(f"{len(labels['annotations'])} people in {len(labels['images'])} pictures -> {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
