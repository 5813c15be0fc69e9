"""Inject each fault, say what happened and how long recovery took: python -m tests.benchmarks.faults

Cameras are stand-ins behind the real pipeline with its default time-outs; sinks, signals and files are real, in
processes of their own. A full disk is a small tmpfs where this may be mounted (as root), a window needs Xvfb
and xdotool. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.capture.picamera import PicameraSource
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.capture.source import Wanted
from rpi_runtime.commands.recording import Recorder
from rpi_runtime.estimate import Estimator
from rpi_runtime.health.thermal import Heat, HeatConfig, HeatWatch
from rpi_runtime.model.interpreter import Model
from rpi_runtime.pipeline import Pipeline, RunLimits
from rpi_runtime.poses import Frame
from rpi_runtime.sinks.null import NullOptions, NullSink
from rpi_runtime.sinks.runner import SinkRunner
from tests.benchmarks.servers import MjpegServer, RtspServer
from tests.rpi_runtime import standin_picamera2
from tests.rpi_runtime.faulty import Script
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.toys import write_toy

ROOT = Path(__file__).resolve().parents[2]
PERIOD_S = 1 / 30


def camera(folder: Path, *runs: list[str], recovery: Recovery | None = None) -> str:
    """Run a scripted camera at 30 frames per second through the toy model until 60 frames are done."""
    script = Script(*runs, period_s=PERIOD_S)
    feed = Feed(script.make, Wanted(), recovery or Recovery())
    pipeline = Pipeline(
        feed,
        Estimator([Model(folder / "toy.tflite", threads=1)]),
        [SinkRunner(NullSink(NullOptions()))],
        limits=RunLimits(frames=60),
    )
    status = pipeline.run()
    script.unhang.set()
    assert status.frames == 60
    return f"{status.restarts} restart, opened {script.made} times | {status.last_recovery_s:.1f} s"


def heat(folder: Path, models: int) -> str:
    """Let the processor be hot from second 2 to second 6; frames per second, or models, second by second."""
    script = Script(["frame"], period_s=PERIOD_S)
    begin = time.monotonic()
    config = HeatConfig(hold_s=1.0, period_s=0.1, steps=2)
    watch = HeatWatch(config, lambda: Heat(celsius=90 if 2 < time.monotonic() - begin < 6 else 60))
    estimator = Estimator([Model(folder / "toy.tflite", threads=1) for _ in range(models)])
    pipeline = Pipeline(
        Feed(script.make, Wanted()), estimator, [SinkRunner(NullSink(NullOptions()))], heat=watch
    )
    rates: list[int] = []

    def look() -> None:
        last = 0
        for _ in range(10):
            time.sleep(1)
            rates.append(pipeline.status().frames - last)
            last += rates[-1]
        pipeline.stopping.stop()

    threading.Thread(target=look).start()
    status = pipeline.run()
    steps = f"{status.heat_level} steps down at most"
    return f"{steps}; frames in each second: {' '.join(map(str, rates))} | back at full rate when cool"


def stop_in_hang(folder: Path) -> str:
    """Ask a run to stop while its camera's driver hangs."""
    script = Script(["frame"] * 20 + ["hang"], period_s=PERIOD_S)
    pipeline = Pipeline(
        Feed(script.make, Wanted(), Recovery(stall_s=60)),
        Estimator([Model(folder / "toy.tflite", threads=1)]),
        [SinkRunner(NullSink(NullOptions()))],
    )
    asked = []
    threading.Timer(2, lambda: (asked.append(time.monotonic()), pipeline.stopping.stop())).start()
    status = pipeline.run()
    took = time.monotonic() - asked[0]
    script.unhang.set()
    return f"{status.frames} frames written, the hanging thread left behind | {took:.2f} s to stop"


def follow(target: str, fault: Callable[[float], None], lasts_s: float) -> str:
    """Follow a stream; after 40 frames call `fault` with the seconds since then until `lasts_s` are over."""
    source = SourceConfig(kind="stream", target=target)
    feed = Feed(source.maker(), Wanted(), Recovery())
    feed.start()
    frames, since = 0, 0.0
    while frames < 80 or not feed.restarts:
        frame = feed.take(0.05)
        frames += frame is not None
        since = since or (time.monotonic() if frames >= 40 else 0)
        if since and time.monotonic() - since < lasts_s + 1:
            fault(time.monotonic() - since)
    feed.stop(1)
    return f"{feed.restarts} restart | {feed.last_recovery_s:.1f} s, {lasts_s:g} s of them without a server"


def stream_lost(server: MjpegServer | RtspServer) -> str:
    """End a network camera for three seconds."""

    def fault(seconds: float) -> None:
        if seconds < 3:
            server.close()
        else:
            server.open()

    try:
        return follow(server.url, fault, 3)
    finally:
        server.close()


def stream_stalled(server: RtspServer) -> str:
    """Hold a network camera up for five seconds, its connection open."""
    try:
        return follow(server.url, lambda seconds: server.hold(seconds < 5), 5)
    finally:
        server.close()


def picamera_stall(folder: Path) -> str:
    """Stall the stand-in of picamera2, whose queue then holds a job for ever, until it is closed."""
    sys.modules["picamera2"] = standin_picamera2
    hardware = standin_picamera2.Picamera2.hardware
    feed = Feed(PicameraSource, Wanted(width=160, height=120), Recovery())
    feed.start()
    frames = 0
    while frames < 200:
        frame = feed.take(0.05)
        hardware.stalled = frames >= 100 and feed.state == "running" and not feed.restarts
        if frame is not None:
            frames += 1
            frame.done()
    feed.stop(1)
    return f"queue cancelled, camera closed and opened | {feed.last_recovery_s:.1f} s"


@contextlib.contextmanager
def running(
    folder: Path, *words: object, source: object = None, **options: object
) -> Iterator[subprocess.Popen]:
    """A run on endless pictures in a process of its own."""
    source = source or f"{folder / 'photos'},loop=yes"
    command = [
        sys.executable,
        "-m",
        "rpi_runtime",
        "run",
        "--model",
        folder / "toy.tflite",
        "--source",
        source,
    ]
    process = subprocess.Popen(
        [str(word) for word in (*command, *words)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen, note: str = "") -> str:
    """Wait for a process; what it said last, and its exit code."""
    _, errors = process.communicate(timeout=60)
    said = [line for line in errors.splitlines() if line.startswith(("ERROR", "error", "INFO sink ended"))]
    return f"exit {process.returncode}; {said[0] if said else 'nothing to complain'}{note}"


def full_disk(folder: Path, sink: str) -> str:
    """Fill a small file system with a sink while another sink goes on."""
    small = folder / "small"
    small.mkdir(exist_ok=True)
    size = "200k" if "jsonl" in sink else "12m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", small], check=True)
    try:
        words = [
            "--sink",
            sink.format(small),
            "--sink",
            f"jsonl:{folder / 'other.jsonl'}",
            "--frames",
            "4000",
        ]
        with running(folder, *words) as process:
            said = ended(process)
        whole = check_files(small)
        lines = len((folder / "other.jsonl").read_bytes().splitlines())
        (folder / "other.jsonl").unlink()
    finally:
        subprocess.run(["umount", small], check=True)
    return f"{said}; {whole}; the other sink has {lines} lines | none needed"


def check_files(folder: Path) -> str:
    """Whether what a sink left behind can be used."""
    for file in folder.iterdir():
        if file.suffix == ".jsonl":
            return "every line whole" if file.read_bytes().endswith(b"}\n") else "the last line is cut"
        import cv2

        return f"the video plays, {int(cv2.VideoCapture(str(file)).get(cv2.CAP_PROP_FRAME_COUNT))} frames"
    return "no file"


def closed_pipe(folder: Path) -> str:
    """Read one line and close the pipe."""
    with running(folder, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        return ended(process) + " | none needed"


def stalled_pipe(folder: Path) -> str:
    """Never read the pipe, in a run that must not wait: frames per second of the other sink, and the stop."""
    rates = []
    for words in ((), ("--sink", "jsonl:-")):
        source = f"replay:{folder / 'walk.zip'},loop=yes"
        words = (*words, "--sink", "null")
        with running(folder, *words, source=source, stdout=subprocess.PIPE) as process:
            time.sleep(6)
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            _, errors = read_errors(process)
            took = time.monotonic() - begin
        rates += [line.split(", ")[1] for line in errors.splitlines() if " frames in " in line]
    return f"{rates[1]} with it, {rates[0]} without; stop took {took:.1f} s | none needed"


def read_errors(process: subprocess.Popen) -> tuple[int, str]:
    """Read standard error without touching standard output."""
    errors = process.stderr.read()
    return process.wait(30), errors


def stop(folder: Path, number: int, *words: object, source: object = None) -> str:
    """Signal a run and measure how long it takes to end."""
    with running(folder, *words, source=source, stdout=subprocess.DEVNULL) as process:
        time.sleep(3)
        begin = time.monotonic()
        process.send_signal(number)
        code, errors = read_errors(process)
        took = time.monotonic() - begin
    summary = "summary printed" if " frames in " in errors else "no frames, no summary"
    return f"exit {code}, {summary} | {took:.2f} s to stop"


def lost_window(folder: Path, *, screen_too: bool) -> str:
    """Press q in the window of a run under Xvfb, or end Xvfb."""
    display = ":98"
    server = subprocess.Popen(["Xvfb", display, "-screen", "0", "640x480x24"], stderr=subprocess.DEVNULL)
    environment = {**os.environ, "DISPLAY": display}
    try:
        time.sleep(2)
        source = f"replay:{folder / 'walk.zip'},loop=yes"
        words = ["--sink", "window", "--sink", f"jsonl:{folder / 'w.jsonl'}"]
        with running(folder, *words, source=source, env=environment) as process:
            time.sleep(5)
            if screen_too:
                server.terminate()
            else:
                press_q(environment)
            time.sleep(2)
            lines = len((folder / "w.jsonl").read_bytes().splitlines())
            time.sleep(1)
            more = len((folder / "w.jsonl").read_bytes().splitlines()) - lines
            process.send_signal(signal.SIGTERM)
            return f"{ended(process)}; the other sink wrote {more} lines in the next second | none needed"
    finally:
        server.terminate()
        server.wait()


def press_q(environment: dict[str, str]) -> None:
    """Press a key in the window."""
    find = ["xdotool", "search", "--name", "^pipose$"]
    found = subprocess.run(find, env=environment, capture_output=True, text=True, check=True)
    press = ["xdotool", "key", "--window", found.stdout.split()[0], "q"]
    subprocess.run(press, env=environment, check=True, stderr=subprocess.DEVNULL)


def truncated(folder: Path) -> str:
    """Cut a video file in its middle."""
    import cv2

    writer = cv2.VideoWriter(str(folder / "w.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(200):
        writer.write(gradient(shift=index))
    writer.release()
    data = (folder / "w.avi").read_bytes()
    (folder / "cut.avi").write_bytes(data[: len(data) // 2])
    with running(folder, "--sink", "null", source=folder / "cut.avi") as process:
        return ended(process) + " | none possible"


def table(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each fault and how it is injected."""
    frames = ["frame"] * 20
    away = [["unopened"]] * 4
    yield "camera stalls (no frame, no error)", lambda: camera(folder, [*frames, "stall"], ["frame"])
    yield "camera vanishes and is back at once", lambda: camera(folder, [*frames, "vanish"], ["frame"])
    yield "camera vanishes for four tries", lambda: camera(folder, [*frames, "vanish"], *away, ["frame"])
    yield "driver raises its own exception", lambda: camera(folder, [*frames, "crash"], ["frame"])
    yield "driver hangs for ever", lambda: camera(folder, [*frames, "hang"], ["frame"])
    yield "picamera2 stalls (stand-in)", lambda: picamera_stall(folder)
    yield "hot for 4 s, one model", lambda: heat(folder, 1)
    yield "hot for 4 s, a smaller model at hand", lambda: heat(folder, 2)
    yield "HTTP camera ends, is back after 3 s", lambda: stream_lost(MjpegServer())
    if RtspServer.possible():
        yield "RTSP camera ends, is back after 3 s", lambda: stream_lost(RtspServer())
        yield "RTSP camera stalls for 5 s", lambda: stream_stalled(RtspServer())
    yield "video file cut short", lambda: truncated(folder)
    if os.geteuid() == 0 and shutil.which("mount"):
        yield "disk full, JSON lines", lambda: full_disk(folder, "jsonl:{}/p.jsonl")
        yield "disk full, video", lambda: full_disk(folder, "video:{}/p.avi")
    yield "pipe closed by its reader", lambda: closed_pipe(folder)
    yield "pipe never read, live source", lambda: stalled_pipe(folder)
    if shutil.which("Xvfb") and shutil.which("xdotool"):
        yield "window closed", lambda: lost_window(folder, screen_too=False)
        yield "screen gone (X server ended)", lambda: lost_window(folder, screen_too=True)
    yield "SIGTERM", lambda: stop(folder, signal.SIGTERM, "--sink", f"jsonl:{folder / 's.jsonl'}")
    yield "Ctrl-C", lambda: stop(folder, signal.SIGINT)
    recording = f"replay:{folder / 'walk.zip'},loop=yes"
    video = ("--sink", f"video:{folder / 's.mp4'}")
    yield "SIGTERM while a video is written", lambda: stop(folder, signal.SIGTERM, *video, source=recording)
    yield "stop while a driver hangs", lambda: stop_in_hang(folder)
    missing = "camera:/dev/video97,retry_at_start=yes"
    yield "SIGTERM while a camera is missing", lambda: stop(folder, signal.SIGTERM, source=missing)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_toy(folder / "toy.tflite")
        (folder / "photos").mkdir()
        for index in range(6):
            write_picture(gradient(640, 480, shift=index), folder / f"photos/{index}.png")
        with Recorder(folder / "walk.zip", format="npy") as recorder:
            for index in range(60):
                image = np.ascontiguousarray(gradient(320, 240, shift=index))
                stamp = index * 33_333_333
                recorder.add(Frame(image=image, index=index, timestamp_ns=stamp, taken_ns=stamp))
        print("| fault | what happened | recovery |\n|---|---|---|")
        for fault, inject in table(folder):
            print(f"| {fault} | {inject().replace(str(folder), '')} |", flush=True)


if __name__ == "__main__":
    main()
