"""The page without a pipeline: a sink that is fed by a test, or by a thread at a rate."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rpi_runtime.health.status import Status
from rpi_runtime.health.timing import StageClock
from rpi_runtime.poses import Pose, Track
from rpi_runtime.sinks.sink import About, Result
from rpi_runtime.sinks.web.sink import LivePage, WebOptions, WebSink
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.toys import CARD

TOKEN = "a-token-of-24-characters"


class Run:
    """What the page is told of the pipeline."""

    def __init__(self) -> None:
        self.status = Status(state="running", fps=20.0, celsius=61.5)

    def __call__(self) -> Status:
        return self.status


@contextlib.contextmanager
def page(**options: object) -> Iterator[tuple[LivePage, Run]]:
    """An open page on a free port of loopback, and the status that it reports."""
    run = Run()
    clock = StageClock()
    clock.add({"infer": 3_000_000})
    run.status = replace(run.status, stages=clock.summary(), histograms=clock.buckets())
    about = About(model="toy 32x24", skeleton=CARD.skeleton, status=run)
    sink = WebSink(WebOptions(**{"target": "127.0.0.1:0", **options})).open(about)
    try:
        yield sink, run
    finally:
        sink.close()


class Feeder(threading.Thread):
    """Writes frames to a sink at a rate, as the pipeline does, and counts them."""

    def __init__(
        self, sink: LivePage, fps: float = 50.0, people: int = 2, first: int = 0, *, pair: bool = False
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self._sink, self._fps, self._people = sink, fps, people
        self._make = make_pair if pair else make_people
        self.frames = first
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(1 / self._fps):
            self._sink.write(self._make(self.frames, self._people, image=self._sink.wants_image))
            self.frames += 1

    def __enter__(self) -> Feeder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def count(self, seconds: float) -> int:
        """How many frames are written in so many seconds."""
        before = self.frames
        time.sleep(seconds)
        return self.frames - before


WIDTH, HEIGHT = 320, 240


def make_people(index: int, people: int, *, image: bool) -> Result:
    """A frame of 320x240: people whose keypoints are grey discs in the picture, on black, and who walk."""
    tracks = []
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if image else None
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for person in range(people):
        keypoints = np.zeros((18, 3), np.float32)
        for place in range(0, 18, 3):
            x = 40 + (2 * index + 130 * person + 17 * (place % 5)) % 230
            y = 50 + 30 * (place // 3)
            keypoints[place] = (x, y, 0.8)
            if picture is not None:
                picture[(columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= 25] = 128
        tracks.append(Track(id=person + 1, pose=Pose(keypoints=keypoints, score=9.5), age=index))
    blank = make_result(index, people=0)
    return replace(blank, width=WIDTH, height=HEIGHT, tracks=tuple(tracks), image=picture)


def make_pair(index: int, people: int, *, image: bool) -> Result:
    """The same from a finder that looks at every fifth frame and a refiner; the last person was not reached."""
    result = make_people(index, people, image=image)
    *refined, last = [replace(t, refined=True) for t in result.tracks]
    nothing = np.zeros_like(last.pose.keypoints)
    unreached = replace(
        last, refined=False, pose=Pose(keypoints=nothing, score=0.4, box=(200.0, 60.0, 80.0, 160.0))
    )
    looked = index % 5 == 0
    spans = {"preprocess": 1, "infer": 9, "decode": 2} if looked else {}
    spans = {"wait": 4} | spans | {"refine": 5, "track": 1}
    latency_ns = {name: ms * 1_000_000 for name, ms in spans.items()}
    return replace(result, tracks=(*refined, unreached), looked=looked, latency_ns=latency_ns)
