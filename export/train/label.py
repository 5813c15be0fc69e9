"""Label pictures with trained networks; the people that they find train another network.

python -m export.train.label PICTURES --model FINDER.tflite --refine CROPS.tflite --output LABELS.json

A teacher that processes larger pictures than its student finds people that the student would miss (self-training; Xie
et al. 2020, arXiv:1911.04252). The labels are in COCO's keypoint format, so that both kinds of labels are read alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from export.train.data.examples import read_labels
from export.train.data.paf_teacher import PafTeacher
from export.train.data.pair_teacher import PairTeacher
from export.train.data.pictures import PictureStore
from export.zoo.skeletons import COCO_17
from quant.cli import make_parser, run_command
from quant.progress import Progress, reporter, reporting
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.command_line import exit_codes
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.files import write_text
from rpi_runtime.inputs import real_path
from rpi_runtime.poses import Image

EPILOG = """\
examples:
  python -m export.train.label PICTURES --model detector.tflite --refine crops.tflite --output labels.json
      a finder and a refiner: each person is refined as it is and mirrored, and keypoints on which both views agree
      are kept; doubtful people become regions that training leaves out
  python -m export.train.label PICTURES --model lw-openpose-496x368-int8.tflite --output labels.json
      a network that does both; a large input sees small people
  python -m export.train.label lsp --labels person_keypoints_lsp.json --model detector.tflite --refine crops.tflite ...
      pictures of one labelled person: exchanged left and right are mended, and people whose labels do not fit are
      left out; the keypoints are the refiner's

Pictures that results are reported on are never labelled; those held out for choices may be, training leaves them out
by their names ([holdout] of a training recipe).

""" + exit_codes(3, 5, 8)
REPORTED = "val2017"

Teach = Callable[[Image], list[dict[str, Any]]]


@dataclass(slots=True, kw_only=True)
class Labels:
    """Annotations in COCO's format, collected picture by picture.

    Attributes
    ----------
    description : str
        Names of the networks.
    """

    description: str
    images: list[dict[str, Any]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, frame: Image, people: Iterable[dict[str, Any]]) -> None:
        """Add a picture and its people."""
        number, (height, width) = len(self.images) + 1, frame.shape[:2]
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        for person in people:
            self.people.append({"id": len(self.people) + 1, "image_id": number, **person})

    def data(self) -> dict[str, Any]:
        """Return the contents of the file."""
        return {
            "info": {"description": self.description},
            "images": self.images,
            "annotations": self.people,
            "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}],
        }


def chosen(store: PictureStore, most: int) -> list[str]:
    """Return the names of all pictures, or of `most` pictures drawn with a fixed seed."""
    names = list(store)
    if not 0 < most < len(names):
        return names
    order = np.random.default_rng(0).permutation(len(names))[:most]
    return [names[i] for i in order]


def label(store: PictureStore, names: Sequence[str], teach: Teach, labels: Labels) -> None:
    """Label every picture with the teacher."""
    with reporter().items("labelling", len(names)) as step:
        for name in names:
            frame = read_picture(store.read(name), name)
            labels.add(name, frame, teach(frame))
            step(1)


def check(
    store: PictureStore,
    names: Sequence[str],
    teacher: PairTeacher,
    by_hand: Path,
    labels: Labels,
) -> tuple[int, int]:
    """Compare labels by hand with the people that the teacher finds.

    Returns
    -------
    mended, left_out : int
        People whose left and right were exchanged, and people without a usable keypoint.
    """
    images, people = read_labels(by_hand)
    known = {PurePosixPath(name).name: entry for name, entry in images.items()}
    mended = left_out = 0
    with reporter().items("checking", len(names)) as step:
        for name in names:
            entry = known.get(PurePosixPath(name).name)
            frame = read_picture(store.read(name), name)
            found = []
            for person in people.get(entry["id"], []) if entry else []:
                points = np.array(person["keypoints"], np.float64).reshape(17, 3)
                x, y, width, height = (float(v) for v in person["bbox"])
                annotation, swapped = teacher.check(frame, (x, y, width, height), points)
                found.append(annotation)
                mended += swapped
                left_out += annotation["num_keypoints"] == 0
            labels.add(name, frame, found)
            step(1)
    return mended, left_out


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = make_parser(
        "export.train.label", "Label pictures with trained networks, in COCO's keypoint format.", EPILOG
    )
    result.add_argument(
        "pictures", type=Path, metavar="PICTURES", help="folder of pictures, or of .tar shards, or one .tar"
    )
    result.add_argument(
        "--model", type=Path, required=True, metavar="FILE",
        help="the teacher, a .tflite of pipose; with --refine one that finds people",
    )  # fmt: skip
    result.add_argument(
        "--refine", type=Path, metavar="FILE", help="a .tflite of crops with heatmaps, that refines them"
    )
    result.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.json",
        help="labels by hand in COCO's format, to be checked by the pair",
    )
    result.add_argument(
        "--output", type=Path, required=True, metavar="FILE.json", help="where to write the labels"
    )
    result.add_argument(
        "--most",
        type=int,
        default=0,
        metavar="N",
        help="label at most N pictures, drawn with a fixed seed (default: all)",
    )
    result.add_argument("--threads", type=int, metavar="N", help="of each interpreter")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Label and write."""
    args = parser().parse_args(argv)
    _check_usage(args)
    with reporting(Progress()):
        return _label(args)


def _label(args: argparse.Namespace) -> int:
    store = PictureStore(args.pictures)
    names = chosen(store, args.most)
    files = [args.model, *([args.refine] if args.refine else [])]
    teacher: PairTeacher | PafTeacher
    if args.refine:
        teacher = PairTeacher(args.model, args.refine, args.threads)
    else:
        teacher = PafTeacher(args.model, args.threads)
    digests = ", ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    labels = Labels(description=f"labelled by {teacher.description}, sha256 {digests}")
    if args.labels:
        assert isinstance(teacher, PairTeacher)
        mended, left_out = check(store, names, teacher, args.labels, labels)
        reporter().say(f"  left and right exchanged: {mended} mended; {left_out} people left out")
    else:
        label(store, names, teacher, labels)
    write_text(args.output, json.dumps(labels.data()))
    taught = sum(p["num_keypoints"] > 0 for p in labels.people)
    reporter().say(f"{taught} people in {len(labels.images)} pictures -> {args.output}")
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    if args.output.suffix != ".json":
        raise UsageError(f"--output {args.output}: expected a .json")
    if args.labels and not args.refine:
        raise UsageError("--labels: labels by hand are checked by a pair; add --refine CROPS.tflite")
    if args.most < 0:
        raise UsageError(f"--most {args.most}: expected 0, for all, or more")
    if REPORTED in (part.lower() for part in real_path(args.pictures).parts):
        raise InputError(
            f"{args.pictures}: results are reported on {REPORTED}; labels of it would teach what is measured"
        )


if __name__ == "__main__":
    sys.exit(run_command(main))
