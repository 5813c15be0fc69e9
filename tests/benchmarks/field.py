"""What people's cameras, disks, clocks, brokers and terminals do to the runtime: each case run, counted and judged.

    python -m tests.benchmarks.field [--cases ../shared/cases/pi] [NAME ...]

Each case is a run of the command line with the toy network and one fault, from a folder of `../shared/cases/pi` or of
the same kind. A line says what was seen and whether that is right. Exit code 1 when something is not. Needs Linux;
gcc for the camera played to OpenCV's own V4L2 backend, ffmpeg, mosquitto, nginx and root for some cases: without
them a case is skipped, with its reason.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rpi_runtime.toys import write_toy

ROOT = Path(__file__).parents[2]
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


@case
def films(world: World) -> str:
    """Cases 01 and 02: every frame at its own time, to the end."""
    seen = []
    for number in (1, 2):
        for path in sorted(world.case(number).glob("*.[mtw]*")):
            if path.suffix == ".md":
                continue
            out = world.folder / "film.jsonl"
            out.unlink(missing_ok=True)
            done = world.call("run", "--model", world.model, "--source", path, "--sink", f"jsonl:{out}")
            messages = lines_of(out)
            need(done.returncode == 0, f"{path.name}: exit {done.returncode}")
            last_s = float(str(messages[-1]["timestamp_ns"])) / 1e9
            count, expected_s = (39, 1.267) if path.stem == "trimmed" else (120, 13.8)
            need(
                len(messages) == count and abs(last_s - expected_s) < 0.1,
                f"{path.name}: {len(messages)}, {last_s:.2f} s",
            )
            seen.append(f"{path.name} {len(messages)} frames to {last_s:.1f} s")
    return ", ".join(seen)


@case
def names(world: World) -> str:
    """Case 05: file names that are no UTF-8, in and out."""
    folder = world.folder / "names"
    folder.mkdir(exist_ok=True)
    count = 0
    for name in (b"bad\xff.avi", b"12:30.avi", b"a b\n.avi", b"%d.avi"):
        source, sink = folder / os.fsdecode(name), folder / os.fsdecode(b"out" + name)
        shutil.copy(world.film(), source)
        done = world.call(
            "run",
            "--model",
            world.model,
            "--source",
            f"video:{source}",
            "--frames",
            5,
            "--sink",
            f"video:{sink}",
        )
        need(
            done.returncode == 0 and sink.stat().st_size > 1000,
            f"{name!r}: exit {done.returncode} {done.stderr[-200:]}",
        )
        count += 1
    return f"{count} names read and written"


@case
def passwords(world: World) -> str:
    """Case 06: every form of a password, in a run that fails."""
    from tests.rpi_runtime.test_masking import FORMS, WITH_BLANKS, leaks

    forms = [*FORMS, *WITH_BLANKS]
    some = [f for f in forms if "127" in f or ":12345678" in f or "//admin" in f][:6]
    for form in some:
        form = form.replace("@cam", "@127.0.0.1:9").replace("@[fe80::1]:554", "@127.0.0.1:9")
        done = world.call("run", "--model", world.model, "--source", form, "--sink", "null")
        need(not leaks(done.stdout + done.stderr), f"{form}: {done.stderr[-200:]}")
    return f"{len(some)} of {len(forms)} forms as processes, all in tests/rpi_runtime/test_masking.py; nothing shown"


@case
def driver_times(world: World) -> str:
    """Case 07: a driver whose times go back."""
    out, zipped = world.folder / "times.jsonl", world.folder / "times.zip"
    for path in (out, zipped):
        path.unlink(missing_ok=True)
    env = world.camera(7, "stamps=jitter")
    source = "camera:0,width=640,height=480"
    world.call(
        "run", "--model", world.model, "--source", source, "--frames", 150, "--sink", f"jsonl:{out}", **env
    )
    stamps = [int(str(m["timestamp_ns"])) for m in lines_of(out)]
    need(len(stamps) == 150 and stamps == sorted(set(stamps)), f"{len(stamps)} frames, times go back")
    world.call("record", "--source", source, "--output", zipped, "--frames", 30, **env)
    done = world.call(
        "run", "--model", world.model, "--source", f"replay:{zipped},pace=free", "--sink", "null"
    )
    need(done.returncode == 0, f"replay: {done.stderr[-200:]}")
    return f"{len(stamps)} frames, times only go forward; replay plays the recording"


@case
def empty_frames(world: World) -> str:
    """Case 08: one buffer without bytes now and then."""
    env = world.camera(8, FAKEV4L_EMPTY="50")
    source = "camera:0,width=640,height=480"
    done = world.call(
        "run", "--model", world.model, "--source", source, "--frames", 300, "--sink", "null", **env
    )
    need("restarted 0 times" in done.stderr, done.stderr[-300:])
    need("frames could not be decoded" in done.stderr, "not counted: " + done.stderr[-300:])
    return next(line for line in done.stderr.splitlines() if "could not be decoded" in line) + ", no restart"


@case
def corrupt_jpeg(world: World) -> str:
    """Case 09: libjpeg's complaints."""
    env = world.camera(9)
    source = "camera:0,width=640,height=480"
    done = world.call(
        "run", "--model", world.model, "--source", source, "--frames", 300, "--sink", "null", **env
    )
    said = done.stderr.count("Corrupt JPEG")
    need(said == 1, f"said {said} times")
    return "said once; " + next(line for line in done.stderr.splitlines() if "libraries printed" in line)


@case
def hang_up(world: World) -> str:
    """Case 10: SIGHUP while a film and a recording are written."""
    film, zipped, lines = world.folder / "hup.mp4", world.folder / "hup.zip", world.folder / "hup.jsonl"
    source = f"video:{world.film()},loop=yes,pace=recorded"
    runs = (
        ("run", "--model", world.model, "--source", source, "--sink", film, "--sink", lines),
        ("record", "--source", source, "--output", zipped),
    )
    for words, grows in zip(runs, (lines, zipped), strict=True):
        with ending(world.begin(*words)) as process:
            need(wait_for(lambda path=grows: path.exists() and path.stat().st_size > 9000), world.log)  # type: ignore[misc]
            process.send_signal(signal.SIGHUP)
            need(process.wait(30) == 0, f"exit {process.returncode}: {world.log}")
    import cv2

    count = int(cv2.VideoCapture(str(film)).get(cv2.CAP_PROP_FRAME_COUNT))
    need(count > 3, "the film cannot be read")
    need(zipfile.ZipFile(zipped).testzip() is None, "the .zip is damaged")
    return f"film of {count} frames, .zip of {len(zipfile.ZipFile(zipped).namelist())} members, both whole"


@contextlib.contextmanager
def broker(world: World) -> Iterator[int]:
    """A mosquitto on loopback."""
    if shutil.which("mosquitto") is None:
        raise SkippedError("no mosquitto")
    port = free_port()
    conf = world.folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    words = ["mosquitto", "-c", str(conf)]
    with ending(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)):
        time.sleep(1)
        yield port


@case
def same_name(world: World) -> str:
    """Case 11: two runs of one name at one broker."""
    with broker(world) as port:
        source = f"video:{world.film()},loop=yes,pace=recorded"
        words = ("run", "--model", world.model, "--source", source, "--sink", f"mqtt:127.0.0.1:{port}")
        with ending(world.begin(*words)):
            time.sleep(3)
            first = world.folder / "first.log"
            (world.folder / "log").rename(first)
            with ending(world.begin(*words)):
                time.sleep(12)
                both = first.read_text() + world.log
    need("connection lost" not in both and "hung up" not in both, both[-400:])
    need("another run on this machine" in both, "it is not said")
    return "no take-over in 12 s; the second says that the names are the same"


@case
def occupancy(world: World) -> str:
    """Case 12: the state while the camera is away, and after the run."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    states: list[dict[str, object]] = []
    with broker(world) as port:
        listener = paho.Client(CallbackAPIVersion.VERSION2)
        listener.on_message = lambda c, d, m: states.append(json.loads(m.payload))
        listener.connect("127.0.0.1", port)
        listener.subscribe("pipose/kitchen/state")
        listener.loop_start()
        env = world.camera(7)
        sink = f"mqtt:127.0.0.1:{port},name=kitchen,state_s=1"
        with ending(
            world.begin("run", "--model", world.model, "--source", "camera:0", "--sink", sink, **env)
        ) as run:
            need(wait_for(lambda: any(s["people"] is not None for s in states)), world.log)
            conf = world.folder / "fake.conf"
            conf.write_text(conf.read_text().replace("node=/dev/video0", "node=") + "gone=1\n")
            need(wait_for(lambda: states[-1]["camera"] == "OFF", 15), f"{states[-1]}")
            away = states[-1]
            run.send_signal(signal.SIGTERM)
            run.wait(10)
            wait_for(lambda: False, 1)
            last = states[-1]
        listener.loop_stop()
    for state in (away, last):
        need(state["people"] is None and state["occupancy"] is None and state["fps"] == 0, str(state))
    return f"camera away: people {away['people']}, problem {away['problem']}; after the run: people {last['people']}"


def in_a_small_disk(world: World, size: str, script: str) -> str:
    """Run a shell script in a mount namespace of its own with a disk of that size at $DISK."""
    disk = world.folder / "disk"
    disk.mkdir(exist_ok=True)
    if (
        os.geteuid() != 0
        or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode
    ):
        raise SkippedError("not root, or no mount namespaces")
    head = f"set -e; mount -t tmpfs -o size={size} tmpfs {disk}; export DISK={disk}; "
    run = f"{sys.executable} -m rpi_runtime"
    env = os.environ | {"RUN": run, "M": str(world.model), "FILM": str(world.film())}
    words = ["unshare", "-m", "sh", "-c", head + script]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=110, check=False)
    need("Traceback" not in done.stderr + done.stdout, done.stderr[-600:])
    return done.stdout + done.stderr


@case
def two_writers(world: World) -> str:
    """Case 13: two runs write one file while the disk fills, and logrotate cuts it."""
    for name in ("a.jsonl", "b.jsonl"):
        (world.folder / name).unlink(missing_ok=True)
    told = in_a_small_disk(
        world,
        "300k",
        f"""
for i in 1 2; do $RUN run --model $M --source "video:$FILM,loop=yes,pace=recorded" --sink jsonl:$DISK/p.jsonl \
  > /dev/null 2> $DISK/../w$i.log & eval P$i=$!; done
for i in $(seq 200); do [ "$(wc -l < $DISK/p.jsonl || echo 0)" -gt 60 ] && break; sleep 0.2; done
dd if=/dev/zero of=$DISK/other bs=1k 2>/dev/null || true; sleep 4
cp $DISK/p.jsonl {world.folder}/a.jsonl; rm $DISK/other; sleep 4
cp $DISK/p.jsonl {world.folder}/b.jsonl; : > $DISK/p.jsonl; sleep 2; kill $P1 $P2; wait || true
cp $DISK/p.jsonl {world.folder}/c.jsonl; grep -h -c "sink fails" $DISK/../w1.log $DISK/../w2.log || true
""",
    )
    full, after, rotated = (world.folder / f"{n}.jsonl" for n in "abc")
    for path in (full, after, rotated):
        need(b"\0" not in path.read_bytes(), f"{path.name}: NUL bytes; {told}")
    kept, grown = len(lines_of(full)), len(lines_of(after))
    need(grown > kept > 20, f"{kept} lines when full, {grown} after; {told}")
    return f"{kept} whole lines when full, {grown} once there was room, {len(lines_of(rotated))} after copytruncate"


@case
def recording_full(world: World) -> str:
    """Cases 16 and 17: record on a full disk, and with the clock of 1970."""
    told = (
        in_a_small_disk(
            world,
            "600k",
            "$RUN record --source video:$FILM,loop=yes --output $DISK/walk.zip; echo exit $?; "
            f"cp $DISK/walk.zip {world.folder}/full.zip; ls -la $DISK",
        )
        if False
        else in_a_small_disk(
            world,
            "600k",
            "set +e; $RUN record --source video:$FILM,loop=yes --output $DISK/walk.zip; echo exit $?; "
            f"cp $DISK/walk.zip {world.folder}/full.zip",
        )
    )
    need("exit 5" in told, told[-300:])
    frames = len(zipfile.ZipFile(world.folder / "full.zip").namelist()) - 1
    need(frames > 5 and zipfile.ZipFile(world.folder / "full.zip").testzip() is None, f"{frames} frames")
    wall = world.folder / "wall"
    wall.write_text(str(100 - int(time.time())))
    out = world.folder / "old.zip"
    out.unlink(missing_ok=True)
    env = {"LD_PRELOAD": world.library("wall"), "WALL": str(wall)}
    done = world.call("record", "--source", world.film(), "--output", out, "--frames", 5, **env)
    need(done.returncode == 0, done.stderr[-200:])
    return f"full disk: exit 5, {frames} frames kept and whole; 1970: exit 0"


@case
def slow_frames(world: World) -> str:
    """Cases 19 and 20: below a frame a second, and a camera asked for one in five seconds."""
    cases = world.case(20)
    path = f"{cases}:{ROOT}"
    words = ("run", "--model", world.model, "--max-fps", 0.2, "--frames", 4, "--sink", "null")
    done = world.call(*words, seconds=90, PYTHONPATH=path)
    need(done.returncode == 0 and "restarted 0 times" in done.stderr, done.stderr[-300:])
    return "4 frames at 0.2 a second, no restart; ids: tests/rpi_runtime/track/test_tracker.py"


@case
def proxy(world: World) -> str:
    """Case 23: a real nginx in front, with the case's five ways."""
    nginx = shutil.which("nginx")
    if nginx is None or shutil.which("openssl") is None:
        raise SkippedError("no nginx or openssl")
    files = f"-keyout {world.folder}/c.key -out {world.folder}/c.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost {files}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    conf = world.folder / "nginx.conf"
    conf.write_text((world.case(23) / "nginx.conf").read_text().replace("$WORK", str(world.folder)))
    token = "abcdefghijklmnopqrstuvwxyz"
    source = f"video:{world.film()},loop=yes"
    live = world.begin(
        "live",
        "--model",
        world.model,
        "--source",
        source,
        "--listen",
        "127.0.0.1:18770",
        PIPOSE_LIVE_TOKEN=token,
    )
    with (
        ending(live),
        ending(subprocess.Popen([nginx, "-c", str(conf)], stderr=subprocess.DEVNULL, text=True)),
    ):
        need(wait_for(lambda: "live page" in world.log), world.log)
        time.sleep(1)
        seen = [_visit(url, token) for url in (
            "http://localhost:18771/", "http://localhost:18772/", "http://localhost:18773/",
            "http://localhost:18774/pose/", "https://localhost:18775/",
        )]  # fmt: skip
    return "; ".join(seen)


def _visit(url: str, token: str) -> str:
    """What a browser does: the form, the login, the page's files, the WebSocket with its ticket."""
    import asyncio
    import re
    import ssl
    from urllib.parse import urljoin, urlsplit

    import aiohttp

    async def visit() -> str:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        parts = urlsplit(url)
        origin = {"Origin": f"{parts.scheme}://{parts.netloc}"}
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session:
            async with session.get(url) as answer:
                page, form = str(answer.url), await answer.text()
            action = re.search(r'action="([^"]+)"', form)
            need(action is not None, f"{url}: no form, {form[:80]}")
            assert action is not None
            place = urljoin(page, action[1])
            quiet = {
                "headers": origin,
                "allow_redirects": False,
            }  # a browser sends no Origin after a redirect
            for _ in range(6):
                async with session.post(place, data={"token": "wrong-wrong-wrong"}, **quiet):
                    pass
            async with session.post(place, data={"token": token}, **quiet) as answer:
                need(answer.status == 303, f"{url}: login {answer.status}")
                page = urljoin(place, answer.headers["Location"])
            async with session.get(page) as answer:
                need(answer.status == 200, f"{page}: {answer.status}")
                index = await answer.text()
            for file in ("page.js", "link.js", "icon.svg"):
                async with session.get(urljoin(page, file)) as answer:
                    need(answer.status == 200, f"{url}: {file} {answer.status}")
            need('src="page.js"' in index, "the page's links are absolute")
            async with session.get(urljoin(page, "ticket")) as answer:
                ticket = await answer.text()
            async with session.ws_connect(
                urljoin(page, f"live?ticket={ticket}"), headers=origin, max_msg_size=0
            ) as wire:
                hello = await asyncio.wait_for(wire.receive(), 10)
                need(hello.type == aiohttp.WSMsgType.TEXT, f"{url}: WebSocket {hello.type}")
        return f"{parts.port} all fine"

    return asyncio.run(visit())


@case
def refusals(world: World) -> str:
    """Case 24: a broker that speaks only MQTT 5, one whose rules refuse a topic."""
    told = []
    for mode, word in (("v5only", "MQTT 3.1.1"), ("acl", "may not allow this user that topic")):
        port = free_port()
        with tool(world, "badbroker.py", port, mode):
            words = (
                "run",
                "--model",
                world.model,
                "--source",
                f"video:{world.film()},loop=yes",
                "--max-fps",
                "5",
            )
            with ending(world.begin(*words, "--sink", f"mqtt:127.0.0.1:{port},discovery=")):
                wait_for(lambda: word in world.log, 15)  # noqa: B023 - called at once
                log = world.log
        need(word in log, f"{mode}: {log[-300:]}")
        told.append(next(line for line in log.splitlines() if word in line)[:120])
    return "; ".join(told)


@case
def flood(world: World) -> str:
    """A broker that sends what nobody subscribed to: memory, and that it is hung up on (issue, D 21)."""
    kinds, peaks = ("one packet of 256 MB", "small packets without end"), []
    for kind in kinds:
        port = free_port()
        server = socket.create_server(("127.0.0.1", port), backlog=8)
        over = threading.Event()
        thread = threading.Thread(target=_flood, args=(server, kind == kinds[0], over), daemon=True)
        thread.start()
        try:
            words = (
                "run",
                "--model",
                world.model,
                "--source",
                f"video:{world.film()},loop=yes",
                "--max-fps",
                "5",
            )
            with ending(world.begin(*words, "--sink", f"mqtt:127.0.0.1:{port}")) as run:
                need(wait_for(lambda: "mqtt" in world.log, 20), world.log)
                peak = 0
                for _ in range(30):
                    time.sleep(0.2)
                    text = Path(f"/proc/{run.pid}/status").read_text()
                    peak = max(peak, int(text.split("VmHWM:")[1].split()[0]) // 1024)
                log = world.log
        finally:
            over.set()
            server.close()
        need(peak < 400, f"{kind}: {peak} MB")
        need("not asked for" in log or "not subscribed" in log, log[-300:])
        peaks.append(f"{kind}: at most {peak} MB")
    return "; ".join(peaks) + "; hung up on, with the reason"


def _flood(server: socket.socket, large: bool, over: threading.Event) -> None:
    while not over.is_set():
        try:
            wire, _ = server.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), wire:
            wire.recv(4096)
            wire.sendall(b"\x20\x02\x00\x00")
            if large:
                wire.sendall(b"\x30\xff\xff\xff\x7f" + b"\x00\x01a")
            while not over.is_set():
                wire.sendall(b"x" * 65536 if large else b"\x30\x0a\x00\x01axxxxxxx" * 2000)


@case
def reloads(world: World) -> str:
    """Case 26 and D 20: reloads of configurations that cannot be used, one after the other."""
    (world.folder / "loop.tflite").symlink_to("loop.tflite")
    photos = world.folder / "photos"
    photos.mkdir()
    from rpi_runtime.capture.pictures import write_picture
    from tests.rpi_runtime.pictures import gradient

    write_picture(gradient(), photos / "0.png")
    good = f'model = "{world.model}"\nsource = "{photos},loop=yes"\nsink = ["null"]\nmax_fps = 20.0\n'
    bad = [
        good.replace(str(world.model), str(world.folder / "loop.tflite")),
        good.replace(str(world.model), "a\\u0000b"),
        good.replace("null", "jsonl:/a\\u0000b"),
        good.replace(str(photos), "a\\u0000b"),
        "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "{a=" * 3000 + "1" + "}" * 3000,
        "[" + "a." * 20000 + "b]\n",
        "\x00\xff",
        good + "max_fps = nan\n",
        good.replace("20.0", "1e999"),
        good.replace("20.0", "9" * 5000),
        good.replace("null", "jsonl:/proc/self/mem"),
        good.replace("null", "jsonl:/"),
        good.replace("null", "web:127.0.0.1:99999"),
        "",
    ]
    config, notify = world.folder / "config.toml", world.folder / "notify"
    config.write_text(good)
    words: list[str] = []
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(notify))
    heard.settimeout(0.2)
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                words.extend(heard.recv(65536).decode().split("\n"))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        env = {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "2000000"}
        with ending(world.begin("service", "run", "--config", config, **env)) as run:
            need(wait_for(lambda: "READY=1" in words, 40), world.log)
            for text in bad:
                before = words.count("READY=1"), words.count("WATCHDOG=1")
                config.write_bytes(text.encode("latin-1", "replace"))
                run.send_signal(signal.SIGHUP)
                for word, count in zip(("READY=1", "WATCHDOG=1"), before, strict=True):
                    more = functools.partial(_more, words, word, count)
                    need(wait_for(more, 20), f"{text[:60]!r}: no {word}: {world.log[-300:]}")
                need(run.poll() is None, f"{text[:60]!r}: exit {run.returncode}")
            need("Traceback" not in world.log, world.log[-500:])
            run.send_signal(signal.SIGTERM)
            need(run.wait(10) == 0, f"exit {run.returncode}")
    finally:
        over.set()
        thread.join()
        heard.close()
    return f"{len(bad)} of {len(bad)} refused, the run went on and was told alive after each"


def _more(words: list[str], word: str, count: int) -> bool:
    return words.count(word) > count


def main() -> int:
    """Run the cases that were named, or all, and print what came of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(CASES)}")
    parser.add_argument("--cases", type=Path, default=ROOT.parent / "shared/cases/pi")
    given = parser.parse_args()
    wrong = 0
    for name in given.names or CASES:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pipose-field-") as folder:
            try:
                text = f"ok       {CASES[name](World(Path(folder), given.cases.resolve()))}"
            except SkippedError as why:
                text = f"skipped  {why}"
            except (WrongError, subprocess.TimeoutExpired) as why:
                text, wrong = f"WRONG    {why}", wrong + 1
        print(f"{name:16} {time.monotonic() - begin:5.1f} s  {text}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
