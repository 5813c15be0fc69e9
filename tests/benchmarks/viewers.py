"""Ten viewers, one of them stalled: frames per second with and without, in turn.

    python -m tests.benchmarks.viewers --model M.tflite [--fps 15] [--video walk.mp4] [--rounds 6] [--seconds 5]

The pipeline is that of the command `live`, in a process of its own, on a video that is decoded beforehand and
delivered like a camera's: `--fps 15`, or 0 for as fast as the network takes it. The viewers are real
WebSockets in a third process: nine confirm each frame, the tenth takes one and no more. They share the
machine's processors with the pipeline; on a Raspberry Pi they would be elsewhere. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import re
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import aiohttp


def serve(pipe: Connection, given: argparse.Namespace) -> None:
    """Run the pipeline until told to stop; sends the page's port first."""
    import threading

    import numpy as np

    from rpi_runtime.capture.feed import Feed
    from rpi_runtime.capture.source import Delivered, Wanted
    from rpi_runtime.estimate import Estimator
    from rpi_runtime.model.interpreter import Model
    from rpi_runtime.pipeline import Pipeline
    from rpi_runtime.poses import Frame
    from rpi_runtime.settings.run_config import sink_config
    from rpi_runtime.sinks.runner import SinkRunner
    from rpi_runtime.stop import StopFlag

    pictures = (
        decode(given.video)
        if given.video
        else list(np.random.default_rng(0).integers(0, 256, (8, 480, 640, 3), np.uint8))
    )

    class Camera:
        live = True

        def __init__(self) -> None:
            self._index = 0
            self._next_s = time.monotonic()

        def configure(self, wanted: Wanted) -> Delivered:
            height, width = pictures[0].shape[:2]
            return Delivered(width=width, height=height, fps=given.fps, what="camera")

        def start(self) -> None:
            pass

        def read(self, timeout_s: float) -> Frame | None:
            self._next_s = max(self._next_s + (1 / given.fps if given.fps else 0), time.monotonic())
            time.sleep(max(self._next_s - time.monotonic(), 0.0005))
            now = time.monotonic_ns()
            index, self._index = self._index, self._index + 1
            image = pictures[index % len(pictures)]
            return Frame(image=image, index=index, timestamp_ns=now, taken_ns=now)

        def stop(self) -> None:
            pass

    stopping = StopFlag()
    sink: Any = sink_config("web:127.0.0.1:0").make()
    runner = SinkRunner(sink, stopping=stopping)
    model = Model(given.model, threads=given.threads or None)
    pipeline = Pipeline(Feed(Camera, Wanted()), Estimator([model]), [runner], stopping=stopping)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    while pipeline.status().frames < 10:
        time.sleep(0.05)
    pipe.send(int(sink.url.split(":")[2].strip("/")))
    pipe.recv()
    stopping.stop()
    thread.join()


def decode(video: str) -> list[Any]:
    """Up to 200 frames from the middle of a video."""
    import cv2

    capture = cv2.VideoCapture(video)
    capture.set(cv2.CAP_PROP_POS_FRAMES, capture.get(cv2.CAP_PROP_FRAME_COUNT) // 2)
    pictures = []
    while len(pictures) < 200 and (read := capture.read())[0]:
        pictures.append(read[1])
    return pictures


def watch(pipe: Connection, port: int, viewers: int, stalled: int) -> None:
    """Look with so many viewers whenever told to; sends how many frames each saw."""

    async def look(stall: bool, over: asyncio.Event) -> int:
        seen = 0
        url = f"http://127.0.0.1:{port}/live"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as page:
            while not over.is_set():
                try:
                    message = await page.receive(timeout=0.2)
                except TimeoutError:
                    continue
                if message.type == aiohttp.WSMsgType.BINARY:
                    seen += 1
                    if stall:
                        await over.wait()
                        break
                    head = message.data[4 : 4 + int.from_bytes(message.data[:4], "big")]
                    await page.send_str(str(json.loads(head)["frame"]))
                elif message.type != aiohttp.WSMsgType.TEXT:
                    break
        return seen

    async def one_round() -> list[int]:
        over = asyncio.Event()
        tasks = [asyncio.create_task(look(n < stalled, over)) for n in range(viewers)]
        await asyncio.to_thread(pipe.recv)
        over.set()
        return await asyncio.gather(*tasks)

    while pipe.recv() == "look":
        pipe.send(asyncio.run(one_round()))


def metrics(port: int) -> dict[str, float]:
    """The pipeline's and the page's counters."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {name: float(value) for name, value in re.findall(r"^pipose_(\w+) (\S+)$", text, re.MULTILINE)}


def measure(port: int, seconds: float) -> dict[str, float]:
    """Growth of the counters a second, over so many seconds."""
    before, begin = metrics(port), time.monotonic()
    time.sleep(seconds)
    after = metrics(port)
    return {key: (after[key] - before[key]) / (time.monotonic() - begin) for key in before}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--video", help="default: noise, 640x480")
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--stalled", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    (server, far_server), (watcher, far_watcher) = context.Pipe(), context.Pipe()
    serving = context.Process(target=serve, args=(far_server, given))
    serving.start()
    port = server.recv()
    watching = context.Process(target=watch, args=(far_watcher, port, given.viewers, given.stalled))
    watching.start()
    alone, together, encoded, seen = [], [], [], []
    for _ in range(given.rounds):
        alone.append(measure(port, given.seconds)["frames_total"])
        watcher.send("look")
        while metrics(port)["viewers"] < given.viewers:
            time.sleep(0.1)
        rates = measure(port, given.seconds)
        together.append(rates["frames_total"])
        encoded.append(rates["pictures_encoded_total"])
        watcher.send("over")
        seen.append(watcher.recv())
        while metrics(port)["viewers"] > 0:
            time.sleep(0.1)
    watcher.send("end")
    server.send("end")
    watching.join()
    serving.join()
    print("| round | frames/s without | with | pictures encoded/s |\n|---|---|---|---|")
    for number, row in enumerate(zip(alone, together, encoded, strict=True), 1):
        print(f"| {number} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
    ratios = [b / a for a, b in zip(alone, together, strict=True)]
    print(
        f"\nratio with / without: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
    )
    still = [counts[: given.stalled] for counts in seen]
    others = [count for counts in seen for count in counts[given.stalled :]]
    print(
        f"frames seen by each of the others: {min(others)} to {max(others)} a round; by the stalled: {still}"
    )


if __name__ == "__main__":
    main()
