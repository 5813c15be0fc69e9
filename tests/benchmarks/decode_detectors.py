"""Decoding of detectors, centres, SimCC and crops: the kernels beside NumPy, microseconds of one thread.

    python -m tests.benchmarks.decode_detectors [--turns 30] [--json]

Maps are made up: a few people stand out of noise. Every kernel is compared with its oracle first. Medians of the
thread's own time, taken in turns, so that what disturbs one disturbs all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_ext import reference_boxes, reference_centres, reference_crops, reference_simcc
from cython_ext.boxes import BoxFinder
from cython_ext.centres import CentreFinder
from cython_ext.crops import Cropper, Placement
from cython_ext.rules import (
    BoxLevel,
    BoxRules,
    CentreMaps,
    CentreRules,
    Quantized,
    SimccRules,
)
from cython_ext.simcc import SimccFinder
from tests.benchmarks.decode_zoo import Subject, print_medians
from tests.cython_ext.openpose import quantize

PEOPLE = 5
RNG = np.random.default_rng(0)


def stored(values: NDArray[np.float32]) -> Quantized:
    """Rounded to int8 over the range of the values and 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / 255
    zero = round(-128 - low / scale)
    return Quantized(values=quantize(values, scale, zero), scale=scale, zero_point=zero)


def levels(rules: BoxRules, size: int, int8: bool) -> list[BoxLevel]:
    """Maps of three strides with a few cells above the threshold each."""
    made = []
    rng = np.random.default_rng(1)
    for stride in (8, 16, 32):
        cells = size // stride
        scores = rng.normal(-6, 1, (cells, cells, 1)).astype(np.float32)
        scores.reshape(-1)[rng.integers(0, cells * cells, 2 * PEOPLE)] = 1
        boxes = rng.uniform(0.5, 4, (cells, cells, rules.box_channels)).astype(np.float32)
        points = rng.uniform(-3, 3, (cells, cells, rules.keypoint_channels)).astype(np.float32)
        pack: Any = stored if int8 else lambda v: Quantized(values=v)
        made.append(
            BoxLevel(
                scores=pack(scores),
                boxes=pack(boxes),
                keypoints=pack(points) if rules.keypoints else None,
                unit=(float(stride), float(stride)),
                step=float(stride),
            )
        )
    return made


def box_subjects() -> list[Subject]:
    """Detectors with and without keypoints and bins."""
    subjects: list[Subject] = []
    kinds = {
        "boxes 320": (BoxRules(), 320),
        "boxes+keypoints 320, 16 bins": (BoxRules(bins=16, keypoints=17, keypoint_gain=2.0), 320),
        "boxes+keypoints 640": (BoxRules(keypoints=17, nms_overlap=1.0), 640),
    }
    for name, (rules, size) in kinds.items():
        real, int8 = levels(rules, size, False), levels(rules, size, True)
        for maps in (real, int8):
            found, expected = BoxFinder(rules)(maps), reference_boxes.find_boxes(maps, rules)
            if not (
                np.array_equal(found.boxes, expected.boxes) and np.array_equal(found.points, expected.points)
            ):
                sys.exit(f"{name}: the kernels do not equal the oracle")
        subjects += trio(
            name,
            partial(reference_boxes.find_boxes, real, rules),
            partial(BoxFinder(rules), real),
            partial(BoxFinder(rules), int8),
        )
    return subjects


def centre_subjects() -> list[Subject]:
    """MoveNet of one person at 192x192 and of many at 256x256."""
    subjects: list[Subject] = []
    for name, side, rules in (
        ("centres 192, one", 48, CentreRules(keypoints=17)),
        ("centres 256, many", 64, CentreRules(keypoints=17, many=True, nearness=0.3, boxed=True)),
    ):
        shapes = {"centre": 1, "heatmaps": 17, "regress": 34, "offset": 34, "box_scale": 2, "box_offset": 2}
        real = {n: RNG.uniform(0, 0.04, (side, side, c)).astype(np.float32) for n, c in shapes.items()}
        real["box_scale"] += 20
        for row, column in RNG.integers(8, side - 8, (PEOPLE, 2)):
            real["centre"][row, column] = 0.8
            real["heatmaps"][row - 6 : row + 6, column - 6 : column + 6] += RNG.uniform(0, 0.6, 17).astype(
                np.float32
            )
        maps = [CentreMaps(**{n: pack(v) for n, v in real.items()})
                for pack in (lambda v: Quantized(values=v), stored)]  # fmt: skip
        for each in maps:
            if not np.array_equal(
                CentreFinder(rules)(each).points, reference_centres.find_centred(each, rules).points
            ):
                sys.exit(f"{name}: the kernels do not equal the oracle")
        subjects += trio(
            name,
            partial(reference_centres.find_centred, maps[0], rules),
            partial(CentreFinder(rules), maps[0]),
            partial(CentreFinder(rules), maps[1]),
        )
    return subjects


def simcc_subjects() -> list[Subject]:
    """RTMPose at 256x192: 384 and 512 bins."""
    subjects: list[Subject] = []
    real = [RNG.normal(0, 2, (17, n)).astype(np.float32) for n in (384, 512)]
    for softmax in (False, True):
        rules = SimccRules(keypoints=17, softmax=softmax)
        plain, int8 = [Quantized(values=v) for v in real], [stored(v) for v in real]
        for axes in (plain, int8):
            if not np.array_equal(SimccFinder(rules)(*axes), reference_simcc.find_simcc(*axes, rules=rules)):
                sys.exit("simcc: the kernel does not equal the oracle")
        subjects += trio(
            f"simcc 256x192{', softmax' if softmax else ''}",
            partial(reference_simcc.find_simcc, *plain, rules=rules),
            partial(SimccFinder(rules), *plain),
            partial(SimccFinder(rules), *int8),
        )
    return subjects


def crop_subjects() -> list[Subject]:
    """A person of 200x400 pixels out of 640x480 into 192x256 and 96x128."""
    frame = RNG.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    subjects: list[Subject] = []
    for height, width in ((256, 192), (128, 96)):
        for area in (False, True):
            scale = height / 480
            placement = Placement(scale_x=scale, scale_y=scale, pad_x=-100 * scale, pad_y=8, area=area)
            int8 = np.tile((np.arange(256) - 128).astype(np.int8), (3, 1))
            real = np.tile(np.arange(256, dtype=np.float32), (3, 1))
            outs = [np.empty((height, width, 3), t) for t in (np.float32, np.int8)]
            crops = [Cropper((height, width), table) for table in (real, int8)]
            for crop, out, table in zip(crops, outs, (real, int8), strict=True):
                crop(frame, placement, out)
                if not np.array_equal(out, reference_crops.cut(frame, placement, (height, width), 0, table)):
                    sys.exit("crop: the kernel does not equal the oracle")
            subjects += trio(
                f"crop {width}x{height}, {'area' if area else 'bilinear'}",
                partial(reference_crops.cut, frame, placement, (height, width), 0, int8),
                partial(crops[0], frame, placement, outs[0]),
                partial(crops[1], frame, placement, outs[1]),
            )
    return subjects


def trio(name: str, numpy: Any, real: Any, int8: Any) -> list[Subject]:
    """NumPy, float and int8 of one kind."""
    return [
        Subject(name=f"{name}: NumPy", base="", slow=True, call=numpy),
        Subject(name=f"{name}: float", base="NumPy", call=real),
        Subject(name=f"{name}: int8", base="NumPy", call=int8),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=30, help="timings of each (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    args = parser.parse_args(argv)
    groups = (box_subjects(), centre_subjects(), simcc_subjects(), crop_subjects())
    print_medians(groups, args.turns, as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
