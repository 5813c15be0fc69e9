"""A network alone and in a cascade: AP on COCO, speed and trembling on a video.

    python -m tests.benchmarks.cascade --model M.tflite --coco ../shared/data/coco --video WALK.mp4 [--refine R.tflite]

Without --refine the network refines itself: on a crop it sees each person larger. With a detector as --model there is
no row of it alone: it gives no poses. The ways are interleaved picture by
picture in one run, on one thread. `cpu ms` is the processor's time of a picture, mean; `fps` is by the clock on the
wall, which other programs disturb.

COCO: without ids, so every picture is looked at and everybody is refined (no budget). `exact` gives all keypoints of a
crop, as papers evaluate; the others leave out what the runtime does. `refined` is how many of the people found were.

video: with ids, and without smoothing unless said; `tremble` and `lag` as in tests/benchmarks/tracking.py, where the
video must show one person at a time. Cascades have no budget but the one that --budget-ms adds. `keypoints` is how many
a person has, mean. `ids` is how many different ids were given, `switches` how often the person of a frame has another
id than the one that this person had last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from quant.accuracy.evaluation import refuse_calibrated, score
from rpi_runtime.cascade.cascade import open_cascade
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.decode.mode import Mode
from rpi_runtime.estimate import Estimate, Estimator
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.evaluate.coco_pose import detection
from rpi_runtime.evaluate.images import read_image
from rpi_runtime.evaluate.run import confidence
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose
from rpi_runtime.track.smooth import SmoothSpec
from tests.benchmarks.tracking import count_switches, label, tremble_and_lag

WARM_UP = 3  # frames that are not counted


@dataclass(slots=True)
class Way:
    """One way to find people, and what it found and took."""

    estimator: Estimator
    frames: list[tuple[Pose, ...]] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)
    refined: int = 0
    looks: int = 0
    ids: list[tuple[int, ...]] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def __call__(self, image: np.ndarray, timestamp_ns: int) -> Estimate:
        """Find the people and keep the figures."""
        wall, cpu = time.perf_counter(), time.process_time()
        estimate = self.estimator(image, timestamp_ns)
        self.cpu_s.append(time.process_time() - cpu)
        self.wall_s.append(time.perf_counter() - wall)
        # a person whom only a detector saw has no pose
        tracks = [track for track in estimate.tracks if track.pose.found.any()]
        self.frames.append(tuple(track.pose for track in tracks))
        self.ids.append(tuple(track.id for track in tracks))
        self.refined += sum(track.refined for track in estimate.tracks)
        self.looks += estimate.looked is not False
        return estimate

    def people(self) -> int:
        """All people of all frames."""
        return sum(map(len, self.frames))

    def times(self) -> str:
        """Columns of a table."""
        cpu = 1e3 * float(np.mean(self.cpu_s[WARM_UP:]))
        return f"{1 / float(np.mean(self.wall_s[WARM_UP:])):7.1f} {cpu:8.2f}"


def make_way(args: argparse.Namespace, *, track: bool, mode: Mode = "fast", **spec: float) -> Way:
    """The network alone, or with `spec` in a cascade; each with an interpreter of its own."""
    model = Model(args.model, threads=1)
    if not spec:
        return Way(Estimator([model], track=track, smooth=False))
    config = RefineConfig(model=str(args.refine or args.model), **spec)  # type: ignore[arg-type]
    cascade = open_cascade(config, model.card.skeleton, threads=1, mode=mode)
    return Way(Estimator([model], track=track, smooth=False, cascade=cascade))


def alone(args: argparse.Namespace, *, track: bool) -> dict[str, Way]:
    """The finding network by itself, where it gives poses."""
    way = make_way(args, track=track)
    return {"alone": way} if way.estimator.skeleton.keypoints else {}


def measure_ap(args: argparse.Namespace) -> None:
    """Print AP of both ways."""
    split = read_split(args.coco, args.split)
    for path in {args.model, args.refine or args.model}:
        refuse_calibrated(path, split)
    ways = alone(args, track=False)
    ways["cascade"] = make_way(args, track=False, budget_ms=0)
    ways["cascade, exact"] = make_way(args, track=False, mode="exact", budget_ms=0)
    for number, image in enumerate(split.images):
        frame = read_image(image)
        for way in ways.values():
            estimate = way(frame, number)
            skeleton, finder = way.estimator.skeleton, way.estimator.models[0].card
            way.detections += [
                detection(image.id, t.pose, skeleton, confidence(t.pose, finder))
                for t in estimate.tracks
                if t.pose.found.any()
            ]
    print(f"COCO {args.split}, {len(split.images)} pictures")
    print(
        f"{'':24} {'AP':>6} {'AP50':>6} {'AP75':>6} {'AR':>6} {'people':>7} {'refined':>8} {'fps':>7} cpu ms"
    )
    for name, way in ways.items():
        (ap, ap50, ap75, _, _, ar), _ = score(way.detections, split)
        figures = " ".join(f"{value:6.2f}" for value in (ap, ap50, ap75, ar))
        print(f"{name:24} {figures} {way.people():7} {way.refined:8} {way.times()}")


def pictures(video: Path, count: int) -> Iterator[np.ndarray]:
    """The first frames of a video; all with 0."""
    capture = cv2.VideoCapture(str(video))
    number = 0
    while not 0 < count <= number:
        more, image = capture.read()
        if not more:
            return
        number += 1
        yield image


def measure_video(args: argparse.Namespace) -> None:
    """Print speed and trembling of all ways."""
    fps = cv2.VideoCapture(str(args.video)).get(cv2.CAP_PROP_FPS)
    ways = alone(args, track=True)
    for every in args.look_every:
        ways[f"look every {every}"] = make_way(args, track=True, budget_ms=0, look_every=every)
    if args.budget_ms:
        last = f"{args.budget_ms:g} ms, look every {args.look_every[-1]}"
        ways[last] = make_way(args, track=True, budget_ms=args.budget_ms, look_every=args.look_every[-1])
    for number, image in enumerate(pictures(args.video, args.frames)):
        for way in ways.values():
            way(image, round((number + 1) * 1e9 / fps))
    card = Model(args.model, threads=1).card
    card = card if card.skeleton.keypoints else Model(args.refine, threads=1).card
    print(f"\n{args.video.name}, {number + 1} frames at {fps:g} a second")
    print(
        f"{'':24} {'fps':>7} {'cpu ms':>8} {'looks':>6} {'people':>7} {'refined':>8} {'keypoints':>9} "
        f"{'tremble px':>10} {'lag ms':>7} {'smoothed px':>11} {'lag ms':>7} {'ids':>4} switches"
    )
    for name, way in ways.items():
        scene = label(way.frames, pause=round(fps))
        raw, raw_lag, _ = tremble_and_lag(scene, card, None, fps)
        smooth, lag, _ = tremble_and_lag(scene, card, SmoothSpec(), fps)
        given = iter(way.ids)
        switches, ids = count_switches(scene, lambda poses, now_ns, given=given: next(given), 1)
        found = np.mean([pose.found.sum() for poses in way.frames for pose in poses])
        print(
            f"{name:24} {way.times()} {way.looks:6} {way.people():7} {way.refined:8} {found:9.1f} "
            f"{raw:10.2f} {raw_lag:7.1f} {smooth:11.2f} {lag:7.1f} {ids:4} {switches:8}"
        )


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="finds people")
    parser.add_argument("--refine", type=Path, help="refines them (default: --model itself)")
    parser.add_argument("--coco", type=Path, help="a folder in COCO's layout, for AP")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--video", type=Path, help="one person at a time, for trembling")
    parser.add_argument("--frames", type=int, default=0, help="how many of the video (default: all)")
    parser.add_argument("--look-every", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--budget-ms", type=float, default=0.0, help="one more way, with a budget")
    args = parser.parse_args()
    if args.coco:
        measure_ap(args)
    if args.video:
        measure_video(args)


if __name__ == "__main__":
    main()
