"""Id switches and trembling, with tracking and smoothing on and off, on a video.

    python -m tests.benchmarks.tracking --model M.tflite --video one-by-one-person-detection.mp4

The video must show one person at a time, with pauses of a second or more between people: then who is who is
known without labels. Each run of frames with poses is one person; the surest pose of a frame is that person,
any other is a ghost and is not counted.

video    the video as it is
crowd    all people of the video at once, each swaying sideways at a pace and phase of its own, mirrored or
         not, so that they pass one another again and again: the poses are real, their places are not
hidden   crowd, and each person vanishes for half a second now and then

ids       different ids that were given; `people` would be right
switches  how often a person's id differs from the one this person had last
off       the id is the pose's rank from left to right
demo      the tracker of Lightweight OpenPose's demo, from its description: a pose takes the id of the pose of
          the last frame with which most keypoints, and at least three, are alike above 0.5

still     keypoints slower than 0.3 person sizes a second, by a centred mean of those found in five frames
tremble   root mean square of |p(t-1) - 2 p(t) + p(t+1)| of still keypoints, pixels
lag       how far the others are behind the centred mean, along their way: least-squares delay in ms, and mean
          in pixels
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from rpi_runtime.estimate import Estimator
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose
from rpi_runtime.track.places import person_scales
from rpi_runtime.track.smooth import SmoothSpec
from rpi_runtime.track.tracker import Tracker, TrackSpec

STILL = 0.3  # person sizes a second
Scene = list[list[tuple[int, Pose]]]  # per frame: who it is (-1: a ghost), pose
Ids = Callable[[Sequence[Pose], int], Sequence[int]]


def find_poses(model: Model, video: Path) -> tuple[list[tuple[Pose, ...]], float, int]:
    """The poses of every frame, the frame rate and the width."""
    capture = cv2.VideoCapture(str(video))
    estimator = Estimator([model], track=False)
    frames = []
    while True:
        more, image = capture.read()
        if not more:
            break
        frames.append(tuple(track.pose for track in estimator(image, 0).tracks))
        width = image.shape[1]
    return frames, capture.get(cv2.CAP_PROP_FPS), width


def label(frames: list[tuple[Pose, ...]], pause: int) -> Scene:
    """Number the people: a new one after `pause` frames without a pose."""
    scene: Scene = []
    person, empty = -1, pause
    for poses in frames:
        if poses and empty >= pause:
            person += 1
        empty = 0 if poses else empty + 1
        best = max(poses, key=lambda pose: pose.score, default=None)
        scene.append([(person if pose is best else -1, pose) for pose in poses])
    return scene


def crowd(scene: Scene, fps: float, width: int, *, hidden: bool) -> Scene:
    """All people at once, swaying past one another."""
    generator = np.random.default_rng(0)
    people = max(who for frame in scene for who, _ in frame) + 1
    runs = [[pose for frame in scene for who, pose in frame if who == person] for person in range(people)]
    frames: Scene = [[] for _ in range(max(map(len, runs)))]
    for person, run in enumerate(runs):
        phase, mirror, down = (
            generator.random() * 2 * np.pi,
            generator.random() < 0.5,
            generator.normal(0, 15),
        )
        pace = generator.uniform(4, 8)  # seconds there and back
        gone = 0
        for n, pose in enumerate(run):
            gone = max(gone - 1, 0)
            if hidden and not gone and generator.random() < 0.03:
                gone = round(fps / 2)
            if gone:
                continue
            points = pose.keypoints.copy()
            points[:, 0] = np.where(mirror, width - points[:, 0], points[:, 0])
            points[:, 0] += 0.25 * width * np.sin(2 * np.pi * n / fps / pace + phase)
            points[:, 1] += down
            points[~pose.found] = 0
            frames[n].append((person, replace(pose, keypoints=points)))
    for frame in frames:
        frame.sort(key=lambda entry: float(entry[1].keypoints[entry[1].found, 0].mean()))
    return frames


def by_rank(poses: Sequence[Pose], now_ns: int) -> Sequence[int]:
    """No tracking: the place in the list."""
    return range(len(poses))


class DemoTracker:
    """Most keypoints alike with a pose of the last frame; surest pose first."""

    def __init__(self, sigmas: np.ndarray) -> None:
        self.variance = 2 * (2 * sigmas) ** 2
        self.last: list[tuple[int, Pose]] = []
        self.count = 0

    def __call__(self, poses: Sequence[Pose], now_ns: int) -> Sequence[int]:
        """Ids of the poses."""
        ids = [0] * len(poses)
        free = list(self.last)
        for n in sorted(range(len(poses)), key=lambda i: -poses[i].score):
            alike = [self._alike(poses[n], old) for _, old in free]
            best = int(np.argmax(alike)) if alike else -1
            if best >= 0 and alike[best] >= 3:
                ids[n] = free.pop(best)[0]
            else:
                self.count += 1
                ids[n] = self.count
        self.last = list(zip(ids, poses, strict=True))
        return ids

    def _alike(self, a: Pose, b: Pose) -> int:
        both = a.found & b.found
        area = max(float(np.prod(np.ptp(p.keypoints[p.found, :2], axis=0))) for p in (a, b))
        distance2 = ((a.keypoints[:, :2] - b.keypoints[:, :2]) ** 2).sum(axis=1)
        return int((np.exp(-distance2 / (self.variance * max(area, 1))) > 0.5)[both].sum())


def count_switches(scene: Scene, give: Ids, step_ns: int) -> tuple[int, int]:
    """Switches and different ids."""
    last: dict[int, int] = {}
    switches, seen = 0, set()
    for n, frame in enumerate(scene):
        ids = give([pose for _, pose in frame], n * step_ns)
        for (who, _), id_ in zip(frame, ids, strict=True):
            if who >= 0:
                switches += last.get(who, id_) != id_
                last[who] = id_
                seen.add(id_)
    return switches, len(seen)


def tremble_and_lag(
    scene: Scene, card: ModelCard, spec: SmoothSpec | None, fps: float
) -> tuple[float, float, float]:
    """Tremble of the still in pixels, lag of the moving in ms and in pixels, over all people of a scene."""
    step_ns = round(1e9 / fps)
    tracker = Tracker(card.skeleton, smooth=spec)
    raw, out = (np.full((len(scene), len(card.skeleton.keypoints), 2), np.nan) for _ in range(2))
    size = np.full(len(scene), np.nan)
    for n, frame in enumerate(scene):
        tracks = tracker.update([pose for _, pose in frame], n * step_ns)
        for (who, pose), track in zip(frame, tracks, strict=True):
            if who >= 0:
                raw[n, pose.found] = pose.keypoints[pose.found, :2]
                out[n, pose.found] = track.pose.keypoints[pose.found, :2]
                size[n] = person_scales(pose.keypoints[None])[0]
    middle = slice(3, len(scene) - 3)
    centred = np.mean([raw[i : len(raw) - 4 + i] for i in range(5)], axis=0)
    speed = (centred[2:] - centred[:-2]) * fps / 2  # pixels a second, of frames 3 ... -3
    still = np.linalg.norm(speed, axis=2) < STILL * size[middle, None]
    bend = np.linalg.norm(out[:-2] - 2 * out[1:-1] + out[2:], axis=2)[2:-2]
    behind = centred[1:-1] - out[middle]
    moving = ~still & ~np.isnan(speed + behind).any(axis=2)
    along = (behind * speed).sum(axis=2)[moving]
    speed2 = (speed**2).sum(axis=2)[moving]
    lag = along.sum() / speed2.sum()
    tremble = float(np.sqrt(np.nanmean(bend[still] ** 2)))
    return tremble, float(lag * 1e3), float(np.mean(along / np.sqrt(speed2)))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--video", type=Path, required=True)
    args = parser.parse_args()
    model = Model(args.model)
    frames, fps, width = find_poses(model, args.video)
    video = label(frames, pause=round(fps))
    crowds = {h: crowd(video, fps, width, hidden=h) for h in (False, True)}
    scenes = {"video": video, "crowd": crowds[False], "hidden": crowds[True]}
    people = max(who for frame in video for who, _ in frame) + 1
    sizes = np.concatenate([person_scales(np.stack([p.keypoints for p in f])) for f in frames if f])
    size = float(np.median(sizes))
    print(f"{len(frames)} frames at {fps:g} a second, {people} people, median size {size:.0f} pixels")
    print_switches(scenes, model.card, fps)
    print(f"\n{'smoothing':24} {'tremble px':>10} {'lag ms':>7} {'lag px':>7}")
    settings = {
        "off": None,
        "demo": SmoothSpec(min_cutoff_hz=1.0, beta=0.05 * size),  # its beta counts pixels
        "on": SmoothSpec(),
        "on, beta 0": SmoothSpec(beta=0.0),
    }
    for name, spec in settings.items():
        tremble, lag_ms, lag_px = tremble_and_lag(video, model.card, spec, fps)
        print(f"{name:24} {tremble:10.2f} {lag_ms:7.1f} {lag_px:7.2f}")


def print_switches(scenes: dict[str, Scene], card: ModelCard, fps: float) -> None:
    """The table of ids and switches."""
    sigmas = np.array(card.skeleton.sigmas or [0.072] * len(card.skeleton.keypoints))

    def pipose(poses: Sequence[Pose], now_ns: int, tracker: Tracker) -> Sequence[int]:
        return [track.id for track in tracker.update(poses, now_ns)]

    ways: dict[str, Callable[[], Ids]] = {
        "off": lambda: by_rank,
        "demo": lambda: DemoTracker(sigmas),
        "on": lambda: functools.partial(pipose, tracker=Tracker(card.skeleton, TrackSpec())),
    }
    print(f"\n{'tracking':10} " + " ".join(f"{f'{name}: ids':>12} {'switches':>8}" for name in scenes))
    for name, make in ways.items():
        cells = []
        for scene in scenes.values():
            switches, ids = count_switches(scene, make(), round(1e9 / fps))
            cells.append(f"{ids:12} {switches:8}")
        print(f"{name:10} {' '.join(cells)}")


if __name__ == "__main__":
    main()
