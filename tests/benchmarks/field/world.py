"""What every case has: a scratch folder with the toy network, the folder of the cases, and a place in the list."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rpi_runtime.toys import write_toy

ROOT = Path(__file__).parents[3]
CASES: dict[str, Callable[[World], str]] = {}


class SkippedError(Exception):
    """A case that this machine does not allow; the text says why."""


class WrongError(Exception):
    """What was seen is not right."""


class World:
    """A scratch folder with the toy network, and the folder of the cases."""

    def __init__(self, folder: Path, cases: Path) -> None:
        self.folder, self.cases = folder, cases
        self.model = write_toy(folder / "toy.tflite")

    def case(self, number: int) -> Path:
        """Return the folder of a case."""
        found = sorted(self.cases.glob(f"{number:02d}-*"))
        if not found:
            raise SkippedError(f"no {self.cases}/{number:02d}-*")
        return found[0]

    def call(self, *words: object, seconds: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the runtime to its end; `WrongError` on a traceback or a signal."""
        done = subprocess.run(
            [sys.executable, "-m", "rpi_runtime", *map(os.fspath, map(_path, words))],
            cwd=ROOT, env=os.environ | env, capture_output=True, text=True, errors="replace", timeout=seconds,
            check=False,
        )  # fmt: skip
        need(
            "Traceback" not in done.stderr and done.returncode >= 0,
            f"exit {done.returncode}: {done.stderr[-300:]}",
        )
        return done

    def begin(self, *words: object, **env: str) -> subprocess.Popen[str]:
        """Begin a command; its standard error goes to the file `log` of the folder."""
        with (self.folder / "log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "rpi_runtime", *map(os.fspath, map(_path, words))],
                cwd=ROOT, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=log, text=True,
            )  # fmt: skip

    @property
    def log(self) -> str:
        """What the last command that was begun has said."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def library(self, name: str) -> str:
        """Compile one of the tools' libraries for LD_PRELOAD."""
        if shutil.which("gcc") is None:
            raise SkippedError("no gcc")
        made = self.folder / f"{name}.so"
        if not made.exists():
            words = [
                "gcc",
                "-shared",
                "-fPIC",
                "-O1",
                "-w",
                "-o",
                made,
                self.cases / f"tools/{name}.c",
                "-ldl",
            ]
            subprocess.run(words, check=True)
        return str(made)

    def camera(self, number: int, *lines: str, **more: str) -> dict[str, str]:
        """Return the environment in which OpenCV sees a camera that sends the case's frames."""
        conf = self.folder / "fake.conf"
        frames = f"frames={self.case(number)}/f"
        conf.write_text("\n".join([frames, "node=/dev/video0", "formats=MJPG", "fps=30", *lines]) + "\n")
        return {"LD_PRELOAD": self.library("fakev4l"), "FAKEV4L": str(conf)} | more

    def film(self) -> Path:
        """Return ten seconds of film, 20 frames a second, made once."""
        path = self.folder / "film.avi"
        if not path.exists():
            import cv2
            import numpy as np

            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (320, 240))
            rng = np.random.default_rng(1)
            for _ in range(200):
                writer.write(rng.integers(0, 255, (240, 320, 3), np.uint8))
            writer.release()
        return path


def _path(word: object) -> str | bytes | os.PathLike[str]:
    return word if isinstance(word, str | bytes | os.PathLike) else str(word)


def need(true: bool, text: str) -> None:
    """Raise `WrongError` with the text unless it is true."""
    if not true:
        raise WrongError(text)


def wait_for(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


@contextlib.contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a process that was begun, whatever happens."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def tool(world: World, name: str, *words: object) -> Iterator[None]:
    """Run one of the cases' tools meanwhile."""
    command = [sys.executable, world.cases / "tools" / name, *map(str, words)]
    with ending(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)):
        time.sleep(1)
        yield


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return the messages of a file; `WrongError` where a line is none."""
    try:
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    except ValueError as err:
        raise WrongError(f"{path}: a line is no message ({err})") from err


def case(function: Callable[[World], str]) -> Callable[[World], str]:
    """Register a case under its name."""
    CASES[function.__name__] = function
    return function
