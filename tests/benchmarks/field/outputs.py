"""Files that are written when a session drops, the disk is full, or somebody else writes, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile

from tests.benchmarks.field.world import (
    ROOT,
    SkippedError,
    World,
    case,
    ending,
    lines_of,
    need,
    wait_for,
)


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


@case
def killed(world: World) -> str:
    """Of case 10's kind: `kill -9` while a recording is written."""
    zipped, again = world.folder / "killed.zip", world.folder / "again.zip"
    source = f"video:{world.film()},loop=yes,pace=recorded"
    with ending(world.begin("record", "--source", source, "--output", zipped)) as process:
        need(wait_for(lambda: zipped.exists() and zipped.stat().st_size > 500_000), world.log)
        process.kill()
        process.wait()
    done = world.call("record", "--source", f"replay:{zipped},pace=free", "--output", again)
    need(
        done.returncode == 0 and "was cut off" in done.stderr, f"exit {done.returncode}: {done.stderr[-300:]}"
    )
    found = zipped.read_bytes().count(b"PK\3\4")
    frames = len(zipfile.ZipFile(again).namelist()) - 1
    need(found - frames <= 1 and frames > 3, f"{frames} frames of {found}")
    return f"{frames} of {found} frames that were begun are played"


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
    # with its processes in a namespace of their own, which a limit of time ends whole
    words = ["unshare", "-m", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", head + script]
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
    told = in_a_small_disk(
        world,
        "600k",
        "set +e; $RUN record --source video:$FILM,loop=yes --output $DISK/walk.zip; echo exit $?; "
        f"cp $DISK/walk.zip {world.folder}/full.zip",
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
