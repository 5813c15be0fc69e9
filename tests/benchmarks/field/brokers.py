"""Brokers, and what comes from them."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.field.world import (
    SkippedError,
    World,
    case,
    ending,
    free_port,
    need,
    tool,
    wait_for,
)


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
