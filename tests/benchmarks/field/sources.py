"""Films, file names, passwords, cameras and their clocks."""

from __future__ import annotations

import os
import re
import shutil

from tests.benchmarks.field.world import (
    ROOT,
    World,
    case,
    lines_of,
    need,
)


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
def damaged_frames(world: World) -> str:
    """Of case 08's kind: frames cut in half, of noise, of zeros, of another format, and then nothing but such."""
    frames = world.folder / "damaged"
    frames.mkdir(exist_ok=True)
    good = [path.read_bytes() for path in sorted(world.case(8).glob("f.MJPG.*"))]
    bad = (good[0][:9000], good[0][:300], bytes(9000), b"\xff\xd8", b"no picture" * 900)
    for number, data in enumerate(part for wrong in bad for part in (*good, wrong)):
        (frames / f"f.MJPG.{number}").write_bytes(data)
    env = world.camera(8, f"frames={frames}/f")
    source = "camera:0,width=640,height=480"
    done = world.call(
        "run", "--model", world.model, "--source", source, "--frames", 300, "--sink", "null", **env
    )
    count = re.search(r"(\d+) frames could not be decoded", done.stderr)
    need("restarted 0 times" in done.stderr, done.stderr[-300:])
    need(count is not None and int(count[1]) > 40, "not counted: " + done.stderr[-300:])
    for path in frames.glob("f.MJPG.*"):
        path.write_bytes(bad[0])
    done = world.call("run", "--model", world.model, "--source", source, "--sink", "null", **env)
    need(done.returncode == 3 and "can be decoded" in done.stderr, f"{done.returncode}: {done.stderr[-300:]}")
    return f"{count and count[0]} of some 300, no restart; of nothing but such: exit 3"


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
def slow_ids(world: World) -> str:
    """Case 19: a person who does not move, at less than a frame a second."""
    photos, out = world.folder / "still", world.folder / "still.jsonl"
    photos.mkdir(exist_ok=True)
    out.unlink(missing_ok=True)
    picture = sorted(world.case(8).glob("f.MJPG.*"))[0]
    for number in range(8):
        shutil.copy(picture, photos / f"{number}.jpg")
    source = f"images:{photos},fps=0.99"
    words = ("--source", source, "--track", "on", "--sink", f"jsonl:{out}")
    done = world.call("run", "--model", world.model, *words)
    people = [[person["id"] for person in message["people"]] for message in lines_of(out)]  # type: ignore[attr-defined]
    need(done.returncode == 0 and len(people) == 8 and bool(people[0]), f"{done.returncode}: {people}")
    need(all(ids == people[0] for ids in people), f"ids change: {people}")
    return f"{len(people[0])} people keep their ids in 8 frames at 0.99 a second"


@case
def slow_frames(world: World) -> str:
    """Case 20: a camera that is asked for a frame in five seconds."""
    cases = world.case(20)
    path = f"{cases}:{ROOT}"
    words = ("run", "--model", world.model, "--max-fps", 0.2, "--frames", 4, "--sink", "null")
    done = world.call(*words, seconds=90, PYTHONPATH=path)
    need(done.returncode == 0 and "restarted 0 times" in done.stderr, done.stderr[-300:])
    return "4 frames at 0.2 a second, no restart"
