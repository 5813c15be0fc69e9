"""Time the decoders for tags and for crops against their NumPy oracles, interleaved; check equality first.

    python -m tests.benchmarks.decode_zoo [--size 512x512] [--people 1,5,15]

Maps are drawn as networks of EfficientHRNet's kind (tags) and of LPN's and HWL's (crops of 192x256) give them, with a
little noise and a fifth of the keypoints missing. What counts is the thread's processor time. Every turn times each
subject once, so that all meet the same state of the machine; the oracles take part in every fifth turn.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cython_ext import reference_tags, reference_topdown
from cython_ext.specs import Groups, PointRules
from cython_ext.tags import TagGrouper
from cython_ext.topdown import PointFinder
from rpi_runtime.decode.mode import Mode
from rpi_runtime.decode.tags import TagDecoder, tag_rules
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.inference import Quantization
from rpi_runtime.preprocess.letterbox import Transform
from tests.cython_ext.openpose import quantize
from tests.quant.standin_network import TAGS

SLOW_EVERY = 5
WHOLE = Transform(scale_x=1.0, scale_y=1.0, pad_x=0.0, pad_y=0.0)
SCALES = {"h4": Quantization(scale=1 / 220, zero_point=-100), "t4": Quantization(scale=0.4, zero_point=-100)}
SCALES["h2"] = SCALES["h4"]
Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something to time; `base` names the one that it is compared with."""

    name: str
    base: str
    call: Callable[[], object]
    slow: bool = False


def draw(card: ModelCard, people: int, seed: int = 0) -> Outputs:
    """Outputs of a network with tags for people somewhere on its input."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(16, (card.input.width - 16, card.input.height - 16), (people, 17, 2))
    found = rng.random((people, 17)) > 0.2
    outputs = {}
    for output in card.outputs:
        shape = card.input.height // output.stride, card.input.width // output.stride, 17
        maps = rng.normal(0, 0.01 if output.role == "heatmaps" else 2, shape)
        for p, k in zip(*np.nonzero(found), strict=True):
            x, y = at[p, k] / output.stride - 0.5
            rows, columns = slice(max(int(y) - 6, 0), int(y) + 8), slice(max(int(x) - 6, 0), int(x) + 8)
            v, u = np.mgrid[rows, columns]
            patch = maps[rows, columns, k]
            square = ((u - x) ** 2 + (v - y) ** 2)[: patch.shape[0], : patch.shape[1]]
            if output.role == "heatmaps":
                np.maximum(patch, 0.8 * np.exp(-square / 8), out=patch)
            else:
                np.copyto(patch, 2 * p + rng.normal(0, 0.1), where=square < 9)
        outputs[output.name] = maps.astype(np.float32)
    return outputs


def merged(outputs: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmap and tag planes of the finest stride, by NumPy."""
    coarse, tags, fine = (reference_tags.unpack(outputs[name], 17) for name in ("h4", "t4", "h2"))
    mean = (reference_tags.resize(coarse, (fine.shape[1], fine.shape[2])) + fine) * np.float32(0.5)
    return np.ascontiguousarray(mean), tags[None]


def oracle(card: ModelCard, outputs: Outputs, mode: Mode) -> Groups:
    """The whole decoder in NumPy."""
    heatmaps, tags = merged(outputs)
    if mode == "exact":
        heatmaps = reference_tags.resize(heatmaps, (card.input.height, card.input.width))
        tags = reference_tags.resize(tags, (card.input.height // 2, card.input.width // 2))
    return reference_tags.group(heatmaps, tags, tag_rules(card, mode))


def tag_subjects(card: ModelCard, people: int) -> list[Subject]:
    """Subjects for whole pictures with so many people."""
    outputs = draw(card, people)
    stored = {n: quantize(m, SCALES[n].scale, SCALES[n].zero_point) for n, m in outputs.items()}
    fast: Mode = "fast"
    exact: Mode = "exact"
    heatmaps, tags = merged(outputs)
    found = TagGrouper(tag_rules(card, fast))(heatmaps, tags)
    expected = oracle(card, outputs, fast)
    if not (np.array_equal(found.points, expected.points) and np.array_equal(found.score, expected.score)):
        sys.exit(f"{people} people: the kernels do not equal the oracle")
    decode, whole = TagDecoder(card, fast).decode, TagDecoder(card, exact).decode
    place = f"tags {card.input.size}, {people} people"
    return [
        Subject(name=f"{place}: NumPy fast", base="", slow=True, call=lambda: oracle(card, outputs, fast)),
        Subject(name=f"{place}: NumPy exact", base="", slow=True, call=lambda: oracle(card, outputs, exact)),
        Subject(name=f"{place}: fast, float", base="NumPy fast", call=lambda: decode(outputs, WHOLE)),
        Subject(name=f"{place}: fast, int8", base="NumPy fast", call=lambda: decode(stored, WHOLE, SCALES)),
        Subject(name=f"{place}: exact, float", base="NumPy exact", call=lambda: whole(outputs, WHOLE)),
    ]


def crop_subjects() -> list[Subject]:
    """Subjects for the crop of one person, keypoints in cells of its maps."""
    card = replace(TAGS, input=replace(TAGS.input, width=192, height=256))
    maps = draw(card, 1)["h4"]
    stored, scale = quantize(maps, 1 / 220, -100), SCALES["h4"]
    subjects = []
    for name, beta in (("argmax", 0.0), ("softargmax", 160.0)):
        rules = PointRules(keypoints=17, beta=beta)
        if not np.array_equal(PointFinder(rules)(maps), reference_topdown.find_points(maps, rules)):
            sys.exit(f"{name}: the kernels do not equal the oracle")
        real, int8 = PointFinder(rules), PointFinder(rules)
        place = f"crop 192x256, {name}"
        subjects += [
            Subject(
                name=f"{place}: NumPy", base="", slow=True,
                call=lambda rules=rules: reference_topdown.find_points(maps, rules),
            ),
            Subject(name=f"{place}: float", base="NumPy", call=lambda find=real: find(maps)),
            Subject(
                name=f"{place}: int8", base="NumPy",
                call=lambda find=int8: find(stored, scale.scale, scale.zero_point),
            ),
        ]  # fmt: skip
    return subjects


def measure(subjects: Sequence[Subject], turns: int) -> dict[str, float]:
    """Return the median microseconds of each subject."""
    times: dict[str, list[int]] = {s.name: [] for s in subjects}
    for turn in range(-1, turns):
        for subject in subjects:
            if subject.slow and turn % SLOW_EVERY:
                continue
            start = time.thread_time_ns()
            subject.call()
            if turn >= 0:
                times[subject.name].append(time.thread_time_ns() - start)
    return {name: float(np.median(t)) / 1000 for name, t in times.items()}


def print_medians(groups: Iterable[Sequence[Subject]], turns: int, *, as_json: bool) -> None:
    """Measure each group of subjects, interleaved, and print medians and how much faster than their base they are."""
    rows: dict[str, dict[str, float]] = {}
    for subjects in groups:
        medians = measure(subjects, turns)
        for s in subjects:
            base = medians.get(f"{s.name.split(':')[0]}: {s.base}")
            rows[s.name] = {"median_us": round(medians[s.name], 1)}
            rows[s.name] |= {"times_faster": round(base / medians[s.name], 1)} if base else {}
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'':44}{'median us':>12}{'times faster':>14}")
    for name, row in rows.items():
        print(f"{name:44}{row['median_us']:>12}{row.get('times_faster', ''):>14}")


def main(argv: Sequence[str] | None = None) -> int:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="512x512", help="of the network with tags (default %(default)s)")
    parser.add_argument("--people", default="1,5,15", help="in a picture (default %(default)s)")
    parser.add_argument("--turns", type=int, default=30, help="timings of each (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    args = parser.parse_args(argv)
    width, height = map(int, args.size.split("x"))
    card = replace(TAGS, input=replace(TAGS.input, width=width, height=height))
    groups = (*(tag_subjects(card, int(n)) for n in args.people.split(",")), crop_subjects())
    print_medians(groups, args.turns, as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
