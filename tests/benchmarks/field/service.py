"""A service whose configuration changes."""

from __future__ import annotations

import contextlib
import functools
import signal
import socket
import threading

from tests.benchmarks.field.world import (
    World,
    case,
    ending,
    need,
    wait_for,
)


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
