"""What a machine is like when it starts, and at night: no address yet, a full disk, no IPv6, names in Latin-1."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.field.world import ROOT, SkippedError, World, case, ending, free_port, need, wait_for

TOKEN = "abcdefghijklmnopqrstuvwxyz"


class Told:
    """What a service tells systemd: a socket that collects it."""

    def __init__(self, path: Path) -> None:
        self.words: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    @property
    def status(self) -> str:
        """The last line that ``systemctl status`` would show."""
        return next((w for w in reversed(self.words) if w.startswith("STATUS=")), "")

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                self.words.extend(self._socket.recv(65536).decode().split("\n"))


@contextlib.contextmanager
def serving(world: World, sinks: str, before: str = "") -> Iterator[tuple[subprocess.Popen[str], Told]]:
    """Run the service with some sinks, in a network and a mount namespace of its own after the commands `before`."""
    if (
        os.geteuid() != 0
        or subprocess.run(["unshare", "-mn", "true"], check=False, capture_output=True).returncode
    ):
        raise SkippedError("not root, or no namespaces")
    config, notify = world.folder / "config.toml", world.folder / "notify"
    notify.unlink(missing_ok=True)
    source = f'source = "{world.film()},loop=yes,pace=recorded"\n'
    config.write_text(f'model = "{world.model}"\n{source}{sinks}')
    run = f"exec {sys.executable} -m rpi_runtime service run --config {config}"
    env = os.environ | {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "20000000"}
    told = Told(notify)
    try:
        with (world.folder / "log").open("w") as log:
            process = subprocess.Popen(
                ["unshare", "-mn", "sh", "-c", f"set -e; ip link set lo up; {before}{run}"],
                cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=log, text=True,
            )  # fmt: skip
        with ending(process):
            yield process, told
    finally:
        told.close()


def inside(process: subprocess.Popen[str], *words: str) -> str:
    """Run a command in the namespaces of a process."""
    done = subprocess.run(
        ["nsenter", "-t", str(process.pid), "-m", "-n", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout + done.stderr


def fetched(process: subprocess.Popen[str], url: str) -> str:
    """Return what a page of the service answers, status first."""
    code = (
        "import sys, urllib.request, urllib.error\n"
        "try:\n    r = urllib.request.urlopen(urllib.request.Request(sys.argv[1], "
        f"headers={{'Authorization': 'Bearer {TOKEN}'}}), timeout=10); print(r.status, r.read().decode())\n"
        "except urllib.error.HTTPError as err: print(err.code, err.read().decode())\n"
        "except OSError as err: print('none', err)\n"
    )
    return inside(process, sys.executable, "-c", code, url)


def _is_up(process: subprocess.Popen[str], host: str) -> bool:
    return fetched(process, f"http://{host}:8080/healthz").startswith("200")


@case
def night_disk(world: World) -> str:
    """Case 14: the disk of one sink is full for a while; it goes on by itself, and status and /readyz say so."""
    disk = world.folder / "night"
    disk.mkdir()
    page = '[[sink]]\nkind = "web"\ntarget = "127.0.0.1:8080"\n'
    sinks = f'[[sink]]\nkind = "jsonl"\ntarget = "{disk}/night.jsonl"\n{page}'
    before = f"mount -t tmpfs -o size=64k tmpfs {disk}; "
    with serving(world, sinks, before) as (run, told):
        need(wait_for(lambda: "disk is full" in world.log or "No space" in world.log, 60), world.log[-400:])
        need(wait_for(lambda: "night.jsonl" in told.status, 20), f"status {told.status!r}")
        ready = fetched(run, "http://127.0.0.1:8080/readyz")
        need("night.jsonl" in ready, f"/readyz {ready}")
        metric = re.search(
            r"pipose_sink_\w*(?:failing|up|working)\w*\{[^}]*night[^}]*\} \d",
            fetched(run, "http://127.0.0.1:8080/metrics"),
        )
        inside(run, "sh", "-c", f": > {disk}/night.jsonl")
        size = ("stat", "-c", "%s", f"{disk}/night.jsonl")
        need(
            wait_for(lambda: int(inside(run, *size)) > 500, 70),
            f"nothing is written once there is room: {world.log[-300:]}",
        )
        need(wait_for(lambda: "night.jsonl" not in told.status, 20), f"status {told.status!r}")
        run.send_signal(signal.SIGTERM)
        need(run.wait(20) == 0, f"exit {run.returncode}")
    return f"said in status and /readyz ({metric[0] if metric else 'no metric'}), written again once there was room"


@case
def late_address(world: World) -> str:
    """Case 15: the page's own address comes when the router does."""
    sinks = f'[[sink]]\nkind = "null"\n[[sink]]\nkind = "web"\ntarget = "10.9.9.9:8080"\ntoken = "{TOKEN}"\n'
    with serving(world, sinks) as (run, told):
        need(wait_for(lambda: "READY=1" in told.words, 40), world.log[-400:])
        need(wait_for(lambda: "10.9.9.9" in told.status, 20), f"status {told.status!r}: {world.log[-300:]}")
        time.sleep(5)
        need(run.poll() is None, f"exit {run.returncode}: {world.log[-300:]}")
        need("None" not in world.log and ":8081" not in world.log, world.log[-300:])
        inside(run, "ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
        begin = time.monotonic()
        need(wait_for(lambda: _is_up(run, "10.9.9.9"), 70), f"no page: {world.log[-300:]}")
    return f"the run goes on without it; the page is there {time.monotonic() - begin:.0f} s after the address"


@case
def listen(world: World) -> str:
    """Case 22: both families, no IPv6, a low port, a port in use: each an answer or advice that can be followed."""
    port = free_port()
    common = ["live", "--model", str(world.model), "--source", f"{world.film()},loop=yes"]
    seen = []
    for target, urls in (
        (f"[::]:{port}", (f"http://127.0.0.1:{port}/healthz", f"http://[::1]:{port}/healthz")),
        (f"localhost:{port}", (f"http://127.0.0.1:{port}/healthz",)),
    ):
        with ending(world.begin(*common, "--listen", target, PIPOSE_LIVE_TOKEN=TOKEN)):
            need(wait_for(lambda: "live page" in world.log, 30), f"{target}: {world.log[-300:]}")
            for url in urls:
                need(_answers(url), f"{target}: no answer at {url}")
        seen.append(target.rpartition(":")[0])
    seen.append(_without_ipv6(world))
    with socket.create_server(("127.0.0.1", 65535)) as _:
        seen.append(_refused(world, common, "127.0.0.1:65535"))
    seen.append(_refused(world, common, "192.0.2.1:18080"))
    return "; ".join(seen)


def _without_ipv6(world: World) -> str:
    """``localhost`` is ``::1`` too, in a network that has no IPv6."""
    sinks = f'[[sink]]\nkind = "web"\ntarget = "localhost:8080"\ntoken = "{TOKEN}"\n'
    before = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip addr flush dev lo scope host to ::1 2>/dev/null; "
    with serving(world, sinks, f"set +e; {before}") as (run, _):
        need(wait_for(lambda: _is_up(run, "127.0.0.1"), 40), f"without IPv6: {world.log[-300:]}")
    return "localhost without IPv6"


def _answers(url: str) -> bool:
    try:
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def _refused(world: World, common: list[str], target: str) -> str:
    """The message of an address that cannot be had; each address that it advises is one that the product takes."""
    done = world.call(*common, "--listen", target, PIPOSE_LIVE_TOKEN=TOKEN)
    message = done.stderr.strip().splitlines()[-1]
    need(done.returncode == 5, f"{target}: exit {done.returncode}: {message}")
    for port in re.findall(r"--listen \S+:(\d+)", message):
        need(1024 <= int(port) <= 65535, message)
    return f"{target}: exit 5"


@case
def passwd_latin1(world: World) -> str:
    """Case 25: a name in Latin-1 in /etc/passwd, and in /etc/group."""
    if (
        os.geteuid() != 0
        or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode
    ):
        raise SkippedError("not root, or no mount namespaces")
    for name, line in (
        ("passwd", b"joerg:x:1001:1001:J\xf6rg,,,:/home/joerg:/bin/bash\n"),
        ("group", b"caf\xe9:x:1002:j\xf6rg\n"),
    ):
        (world.folder / name).write_bytes((Path("/etc") / name).read_bytes() + line)
    binds = "; ".join(f"mount --bind {world.folder}/{n} /etc/{n}" for n in ("passwd", "group"))
    run = f"{sys.executable} -m rpi_runtime service"
    said = []
    for words in (
        f"install --model {world.model} --source {world.film()} --dry-run",
        f"install --model {world.model} --source {world.film()} --root {world.folder}/card",
        "uninstall --dry-run",
        f"uninstall --root {world.folder}/card",
    ):
        (world.folder / "card/etc").mkdir(parents=True, exist_ok=True)
        for name in ("passwd", "group"):
            (world.folder / "card/etc" / name).write_bytes((world.folder / name).read_bytes())
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", f"{binds}; {run} {words}"],
            cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=60, check=False,
        )  # fmt: skip
        need("Traceback" not in done.stderr, f"{words}: {done.stderr[-300:]}")
        need(done.returncode in (0, 2, 8), f"{words}: exit {done.returncode}: {done.stderr[-300:]}")
        said.append(f"{words.split()[0]} {done.returncode}")
    return ", ".join(said)
