"""COCO keypoint AP of trained weights in float, before any conversion, tested as in the papers.

    python -m export.evaluate --model NAME --weights FILE --coco DIR [--flip] [--boxes gt|FILE.json]

A .tflite has one input size. Here, a bottom-up network with tags processes each picture at its own size, as in its
paper's code: HigherHRNet's rule, which EfficientHRNet adopted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cython_ext.specs import Floats
from export.computed import computed_model
from export.zoo.entry import Entry
from export.zoo.network import CARD_LARGEST, LARGEST, Network, parse_size
from export.zoo.registry import MODELS, find_model
from quant.accuracy.boxes import Boxes, annotated_boxes, detected_boxes
from quant.accuracy.evaluation import Evaluation, Results, evaluate, say_missing, table
from quant.accuracy.predict import PAF_DECODING, Predict, Procedure, predictor
from quant.cli import make_parser, run_command
from quant.progress import Progress, print_table, reporter, reporting
from rpi_runtime.command_line import AS_JSON, COCO, SPLIT, exit_codes
from rpi_runtime.evaluate.coco import CocoImage, CocoSplit, read_split
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import TagSettings, TopdownSettings
from rpi_runtime.poses import Image

STEP = 64  # of both sides at a size of each picture's own


def own_size(side: int, width: int, height: int) -> tuple[int, int]:
    """Return the width and height at which a picture is tested.

    Parameters
    ----------
    side : int
        The network's nominal input side; the picture's short side becomes this, rounded up to a multiple of 64.
    width, height : int
        Size of the picture. Its long side follows and is rounded up, too; the remainder stays empty.

    The published code does not limit the long side. A card does, by `CARD_LARGEST`: a more elongated picture is fitted
    whole into the longest input, so its short side becomes smaller than in the paper.
    """
    short, long = -(-side // STEP) * STEP, max(width, height)
    long = (int(short / min(width, height) * long + STEP - 1)) // STEP * STEP
    long = min(long, CARD_LARGEST // STEP * STEP)
    return (short, long) if width < height else (long, short)


class FloatNetwork:
    """Predicts the people on pictures with ONNX Runtime. Each input size is built once, at the start.

    Parameters
    ----------
    network : Network
    procedure : Procedure
    size : (int, int) or None
        Size of the input; None for `own_size`.
    images : sequence of CocoImage
        The images that it will be called with.
    """

    def __init__(
        self,
        network: Network,
        procedure: Procedure,
        size: tuple[int, int] | None,
        images: Sequence[CocoImage],
    ) -> None:
        self._network, self._procedure, self._size = network, procedure, size
        sizes = sorted({self.size_of(image) for image in images})
        largest = LARGEST if size else CARD_LARGEST  # the size follows from the picture, not from the user
        self.built: dict[tuple[int, int], Predict] = {}
        with reporter().items("building", len(sizes)) as step:
            for one in sizes:
                self.built[one] = self._build(network.card_at(*one, largest))
                step(1)

    def size_of(self, image: CocoImage) -> tuple[int, int]:
        """Return the input's width and height for a picture."""
        return self._size or own_size(self._network.card.input.height, image.width, image.height)

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        """Return detections in COCO's result format."""
        return self.built[self.size_of(image)](image, frame)

    def _build(self, card: ModelCard) -> Predict:
        from quant.tflite.run import Runner  # the interpreter: not wanted for --help

        run = Runner(self._network.build(card.input).model)

        def compute(image: Floats) -> Sequence[Floats]:
            maps = run(image.transpose(0, 2, 3, 1))
            return [maps[o.name].transpose(0, 3, 1, 2) for o in card.outputs]

        return predictor(computed_model(compute, card), self._procedure)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = make_parser(
        "export.evaluate",
        "COCO keypoint AP of trained weights in float, tested the way the network's paper does.",
        "example:\n"
        "  python -m export.evaluate --model efficienthrnet-h0 --weights h0.pth --coco ~/coco --flip\n\n"
        + exit_codes(4, 8, own={3: "bad input: weights, pictures, annotations"}),
    )
    result.add_argument(
        "--model", required=True, metavar="NAME", help=f"a network of the zoo: {', '.join(MODELS)}"
    )
    result.add_argument("--weights", metavar="SOURCE", help="as export.tflite takes them")
    result.add_argument("--coco", type=Path, required=True, metavar="DIR", help=COCO)
    result.add_argument("--split", default="val2017", help=SPLIT)
    result.add_argument(
        "--size",
        metavar="WxH",
        help="of the input (default: the network's own; with tags each picture's own, as its paper has it)",
    )
    result.add_argument(
        "--decode", choices=tuple(PAF_DECODING), default="", help="as quant.evaluate takes it"
    )
    result.add_argument(
        "--flip", action="store_true", help="average with the outputs for the mirrored picture"
    )
    result.add_argument(
        "--boxes",
        default="gt",
        metavar="gt|FILE.json",
        help="people for networks of crops, see quant.evaluate",
    )
    result.add_argument("--json", action="store_true", help=AS_JSON)
    return result


def _size(given: str | None, card: ModelCard) -> tuple[int, int] | None:
    if given:
        return parse_size(given)
    return None if isinstance(card.decoder, TagSettings) else (card.input.width, card.input.height)


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate and print."""
    args = parser().parse_args(argv)
    entry = find_model(args.model)
    split = read_split(args.coco, args.split)
    boxes = None if args.boxes == "gt" else detected_boxes(Path(args.boxes))
    with reporting(Progress(quiet=args.json)):
        say_missing(split)
        result = _measure(args, entry, split, boxes)
    if args.json:
        print(json.dumps([asdict(result.evaluation)], indent=1))
    else:
        print_table(table([result.evaluation]))
    return 0


def _measure(args: argparse.Namespace, entry: Entry, split: CocoSplit, boxes: Boxes | None) -> Results:
    network = entry.load(args.weights or entry.default_source)
    if boxes is None and isinstance(network.card.decoder, TopdownSettings):
        boxes = annotated_boxes(split)
    procedure = Procedure(decode=args.decode, flip=args.flip, boxes=boxes)
    size = _size(args.size, network.card)
    source = args.weights or entry.default_source
    facts = Evaluation(
        file=Path(source).name,
        model=args.model,
        recipe="float",
        size="each its own" if size is None else f"{size[0]}x{size[1]}",
        procedure=procedure.describe(network.card),
    )
    people = FloatNetwork(network, procedure, size, split.images)
    return evaluate(people, split, facts)


if __name__ == "__main__":
    sys.exit(run_command(main))
