"""Files that were damaged or made to harm, counted by what becomes of them.

    python -m tests.benchmarks.hostile_files [--kind KIND] [--seconds 60] [--seed 0]

A child process makes seeded changes to a sound file of each kind, seals it again where it has a seal, and opens it as
the product does. Every outcome but two is a fault: the file is taken, or it is refused with one of pipose's errors on
one line. The parent counts crashes by signal, tracebacks, inputs that took more than 10 s, and a peak of memory above
512 MiB over that at the start. It exits with 1 where there is one, and names the seed: `--seed N --count 1` repeats it.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rpi_runtime.errors import InputError, PiposeError
from tests.benchmarks.hostile_changes import flip, text_of
from tests.benchmarks.hostile_graphs import GRAPHS
from tests.benchmarks.hostile_texts import TEXTS
from tests.rpi_runtime.toys import CARD, toy_bytes

SLOW_S, MOST_MIB = 10.0, 512
ENDLESS_S = 40  # then the child is ended, and its end counted


def seal(path: Path, flatbuffer: bytes, card: bytes) -> Path:
    """Write a .tflite whose archive says that nothing was changed."""
    from rpi_runtime.model.member import CARD_MEMBER
    from rpi_runtime.model.seal import seal_of

    path.write_bytes(flatbuffer)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_MEMBER, card)
        archive.comment = seal_of(flatbuffer)
    return path


def tflite(folder: Path) -> Callable[[random.Random], None]:
    """A flatbuffer that was changed and sealed again, loaded and run once."""
    from rpi_runtime.model.interpreter import Model

    sound = {kind: toy_bytes(kind) for kind in ("int8", "float32")}
    card = CARD.to_json().encode()

    def one(rng: random.Random) -> None:
        data = flip(rng, rng.choice(list(sound.values())), 8)
        Model(seal(folder / "m.tflite", data, card), threads=1).invoke()

    return one


def unchecked(folder: Path) -> Callable[[random.Random], None]:
    """The same flatbuffers, given to LiteRT without pipose's check: what that check is for."""
    from ai_edge_litert.interpreter import Interpreter

    sound = {kind: toy_bytes(kind) for kind in ("int8", "float32")}

    def one(rng: random.Random) -> None:
        (folder / "m.tflite").write_bytes(flip(rng, rng.choice(list(sound.values())), 8))
        try:
            interpreter = Interpreter(model_path=str(folder / "m.tflite"), num_threads=1)
            interpreter.allocate_tensors()
            interpreter.invoke()
        except (ValueError, RuntimeError) as err:
            raise InputError("refused by LiteRT") from err

    return one


def cards(folder: Path) -> Callable[[random.Random], None]:
    """A card with other values, in an archive that may be damaged or inflate without end."""
    from rpi_runtime.decode.choose import decoder_for
    from rpi_runtime.model.interpreter import Model

    sound = json.loads(CARD.to_json())
    inflating = seal(folder / "bomb.tflite", toy_bytes("int8"), b" " * (200 << 20)).read_bytes()

    def one(rng: random.Random) -> None:
        path = seal(folder / "m.tflite", toy_bytes("int8"), text_of(rng, sound))
        if rng.random() < 0.02:
            path.write_bytes(inflating)
        if rng.random() < 0.2:
            data = path.read_bytes()
            start = len(toy_bytes("int8"))
            path.write_bytes(data[:start] + flip(rng, data[start:]))
        model = Model(path, threads=1)
        decoder_for(model.card)

    return one


def pictures(folder: Path) -> Callable[[random.Random], None]:
    """Pictures of every format with changed bytes, and some that are no pictures."""
    from PIL import Image

    from rpi_runtime.capture.pictures import SUFFIXES, read_picture

    values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    sound = []
    for suffix in SUFFIXES:
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        options = {"exif": exif} if suffix in (".jpg", ".png", ".webp", ".tif") else {}
        Image.fromarray(values).save(folder / f"sound{suffix}", **options)
        sound.append((folder / f"sound{suffix}").read_bytes())
    for array in (values[..., 0].astype(np.uint16) * 257, values[..., 0].astype(np.float32) / 255):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "TIFF")
        sound.append(buffer.getvalue())
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    sound.append(buffer.getvalue())
    sound.append(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n" + b" " * 64)

    def one(rng: random.Random) -> None:
        (folder / "p.jpg").write_bytes(flip(rng, rng.choice(sound)))
        read_picture(folder / "p.jpg")

    return one


def weights(folder: Path) -> Callable[[random.Random], None]:
    """Checkpoints, safetensors and OpenVINO graphs with changed bytes."""
    from export.weights.find import find_weights

    sound = _sound_weights(folder)

    def one(rng: random.Random) -> None:
        suffix, data = rng.choice(sound)
        path = folder / f"w{suffix}"
        path.write_bytes(flip(rng, data))
        if suffix == ".xml":
            path.with_suffix(".bin").write_bytes(bytes(4096))
        find_weights(str(path), {})

    return one


def _sound_weights(folder: Path) -> list[tuple[str, bytes]]:
    import torch
    from safetensors.torch import save_file

    from tests.export.irs import IrWriter

    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    torch.save(state, folder / "a.pth")
    torch.save(state, folder / "b.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "c.safetensors")
    writer = IrWriter()
    image = writer.add("Parameter", shape="1,3,8,8", element_type="f32")
    kernel = writer.const(np.ones((4, 3, 3, 3), np.float32))
    writer.add("Result", writer.conv(image, kernel))
    xml = writer.write(folder)
    paths = (folder / "a.pth", folder / "b.pth", folder / "c.safetensors", xml)
    return [(p.suffix, p.read_bytes()) for p in paths]


def coco(folder: Path) -> Callable[[random.Random], None]:
    """Annotations with other values, read and scored."""
    from rpi_runtime.evaluate.coco import read_split
    from tests.quant.toycoco import write_toy_coco

    root = write_toy_coco(folder / "coco")
    path = root / "annotations" / "person_keypoints_val2017.json"
    sound = json.loads(path.read_text())

    def one(rng: random.Random) -> None:
        path.write_bytes(text_of(rng, sound))
        read_split(root, "val2017")

    return one


KINDS: dict[str, Callable[[Path], Callable[[random.Random], None]]] = {
    "tflite": tflite, "tflite-unchecked": unchecked, "cards": cards, "pictures": pictures, "weights": weights,
    "coco": coco, **GRAPHS, **TEXTS,
}  # fmt: skip


ON_REQUEST = ("tflite-unchecked",)  # it fails: that is what the check of a .tflite is for


def work(kind: str, seed: int, count: int, seconds: float) -> None:
    """Print ``SEED begin`` and ``SEED OUTCOME SECONDS MIB`` a line, as a child process."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        one = KINDS[kind](Path(name))
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        until = time.monotonic() + seconds
        for number in range(seed, seed + count):
            if time.monotonic() > until:
                return
            print(number, "begin", flush=True)
            begin = time.monotonic()
            signal.alarm(ENDLESS_S)  # ends the process, also inside a library
            try:
                one(random.Random(number))
                outcome = "taken"
            except PiposeError as err:
                outcome = "refused" if "\n" not in str(err) else f"two-lines:{err!r}"
            except Exception as err:
                outcome = f"traceback:{type(err).__name__}"
            peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) >> 10
            print(number, outcome.replace(" ", "_"), f"{time.monotonic() - begin:.2f}", peak, flush=True)


def drive(
    kind: str, seed: int, count: int, seconds: float
) -> tuple[collections.Counter[str], list[str], int]:
    """Run children until the time is over; return outcomes, faults, and the highest peak of memory in MiB."""
    outcomes: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    until, peak, last = time.monotonic() + seconds, 0, seed - 1
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    while (left := until - time.monotonic()) > 0 and last + 1 < seed + count:
        argv = [sys.executable, "-m", __spec__.name, "--kind", kind, "--child"]
        argv += ["--seed", str(last + 1), "--count", str(seed + count - last - 1), "--seconds", f"{left:.0f}"]
        child = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert child.stdout is not None
        open_one = False
        for line in child.stdout:
            number, outcome, *figures = line.split()
            last, open_one = int(number), outcome == "begin"
            if open_one:
                continue
            took, peak = float(figures[0]), max(peak, int(figures[1]))
            outcomes[outcome] += 1
            if outcome not in ("taken", "refused"):
                faults.append(f"seed {last}: {outcome}")
            if took > SLOW_S:
                faults.append(f"seed {last}: {took:.1f} s")
        code = child.wait()
        if code and not open_one:
            faults.append(f"the child ended with {code} before its first input")
            break
        if code:
            name = signal.Signals(-child.returncode).name if child.returncode < 0 else str(child.returncode)
            outcomes[name] += 1
            faults.append(f"seed {last}: {name}")
        else:
            break
    if peak > MOST_MIB:
        faults.append(f"{peak} MiB")
    return outcomes, faults, peak


def main() -> int:
    """Count and print; 1 where there is a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        work(args.kind[0], args.seed, args.count, args.seconds)
        return 0
    failed = False
    for kind in args.kind or [k for k in KINDS if k not in ON_REQUEST]:
        outcomes, faults, peak = drive(kind, args.seed, args.count, args.seconds)
        counted = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        print(
            f"{kind:<13} {sum(outcomes.values())} inputs: {counted}; at most {peak} MiB more; {len(faults)} faults"
        )
        for fault in faults[:20]:
            print(f"          {fault}")
        failed = failed or bool(faults) or not outcomes
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
