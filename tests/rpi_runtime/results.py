"""Results for tests of sinks."""

from __future__ import annotations

import time

import numpy as np

from rpi_runtime.poses import Pose, Track
from rpi_runtime.sinks.sink import About, Result
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.toys import CARD

ABOUT = About(model="toy 32x24", skeleton=CARD.skeleton)


def make_result(index: int = 0, people: int = 1, image: bool = False, fps: float = 10.0) -> Result:
    """One frame of 64x48, ten a second, with a person who has keypoints 0 and 1."""
    keypoints = np.zeros((18, 3), np.float32)
    keypoints[:2] = [(10.26, 20.0, 0.5), (30.0, 20.0, 0.25)]
    pose = Pose(keypoints=keypoints, score=1.25)
    return Result(
        index=index,
        timestamp_ns=index * 100_000_000,
        taken_ns=time.monotonic_ns() - 20_000_000,
        time_ns=1_700_000_000_123_456_789,
        width=64,
        height=48,
        tracks=tuple(Track(id=n + 1, pose=pose, age=index) for n in range(people)),
        latency_ns={"wait": 1_000_000, "infer": 3_141_592},
        fps=fps,
        image=gradient(shift=index) if image else None,
    )
