"""Hostile texts: configurations, cards, recipes, recordings, labels and detections; as the commands read them."""

from __future__ import annotations

import json
import random
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.hostile_changes import change_value, flip, text_of

One = Callable[[random.Random], None]


def toml_of(data: Any) -> str:
    """Return a mapping as TOML, as far as TOML can say it: what it cannot say becomes a string."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in data.items() if not _is_table(v)]
    for key, value in data.items():
        if isinstance(value, dict):
            lines += [f"[{_key(key)}]", *(f"{_key(k)} = {_value(v)}" for k, v in value.items())]
        elif _is_table(value):
            for entry in value:
                lines += [f"[[{_key(key)}]]", *(f"{_key(k)} = {_value(v)}" for k, v in entry.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)
    )


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return "nan" if value != value else repr(value).replace("inf", "inf")
    return json.dumps(value, ensure_ascii=False) if value is not None else '"none"'


def toml_text(rng: random.Random, data: Any) -> bytes:
    """Write changed TOML, now and then nested without end, damaged, or in another encoding."""
    text = toml_of(change_value(rng, data))
    how = rng.random()
    if how < 0.05:
        return rng.choice(
            (b"x = " + b"[" * 20_000, b"x = " + b"{a=" * 5_000, b"[" + b"a." * 20_000 + b"b]\n")
        )
    if how < 0.1:
        return text.encode("utf-16", "surrogatepass")
    if how < 0.25:
        return flip(rng, text.encode(errors="surrogatepass") + b" " * 8)
    return text.encode(errors="surrogatepass")


def configurations(folder: Path) -> One:
    """Configurations of a run, read as `run` and a reload do."""
    from rpi_runtime.settings.run_config import load_config
    from tests.rpi_runtime.toys import write_toy

    sound = {
        "model": str(write_toy(folder / "toy.tflite")),
        "threads": 2, "max_fps": 10.0, "track": "auto", "smooth": True,
        "source": {"kind": "camera", "target": "0", "width": 640, "height": 480, "fps": 15.0, "stall_s": 3.0},
        "refine": {"model": str(folder / "toy.tflite"), "budget_ms": 50.0, "look_every": 5},
        "heat": {"limit_c": 78.0, "resume_c": 70.0},
        "sink": [
            {"kind": "jsonl", "target": str(folder / "poses.jsonl"), "max_mb": 10.0, "keep": 2},
            {"kind": "mqtt", "target": "broker.local:1883", "qos": 1, "buffer": 10, "username": "u", "password": "p"},
            {"kind": "web", "target": "127.0.0.1:8080", "quality": 80, "viewers": 8},
        ],
    }  # fmt: skip
    path = folder / "config.toml"

    def one(rng: random.Random) -> None:
        path.write_bytes(toml_text(rng, sound))
        load_config(path, {})

    return one


def own_cards(folder: Path) -> One:
    """Cards of networks of a user's own, as `export.tflite --card` reads them."""
    import quant
    from quant.cards.read import read_own_card

    cards = sorted((Path(quant.__file__).parent / "cards").glob("*.toml"))
    sound = [tomllib.loads(path.read_text()) for path in cards]
    path = folder / "card.toml"

    def one(rng: random.Random) -> None:
        path.write_bytes(toml_text(rng, rng.choice(sound)))
        read_own_card(str(path))

    return one


def recipes(folder: Path) -> One:
    """Recipes of quantization and of training."""
    import quant.recipe as quantization
    from export.train import recipe_files as training

    shelves = (quantization.FOLDER, training.FOLDER)
    sound = [
        (i, tomllib.loads(p.read_text()))
        for i, shelf in enumerate(shelves)
        for p in sorted(shelf.glob("*.toml"))
    ]
    path = folder / "recipe.toml"
    paths = dict.fromkeys(
        ("coco", "labels", "unlabelled", "teacher", "finder", "refiner", "weights"), str(folder)
    )

    def one(rng: random.Random) -> None:
        which, data = rng.choice(sound)
        path.write_bytes(toml_text(rng, data))
        if which == 0:
            quantization.load_recipe(str(path))
        else:
            training.read_recipe(str(path), paths)

    return one


def recordings(folder: Path) -> One:
    """Recordings whose index or archive lies, played to their end."""
    from rpi_runtime.capture.recording import INDEX
    from rpi_runtime.capture.replay import ReplaySource
    from rpi_runtime.capture.source import Wanted
    from rpi_runtime.commands.recording import Recorder
    from rpi_runtime.poses import Frame
    from tests.rpi_runtime.service.recording import write_recording

    whole = write_recording(folder / "sound.zip", frames=4, fps=20)
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    lines = [json.loads(line) for line in members.pop(INDEX).decode().splitlines()]
    path, recorded = folder / "walk.zip", folder / "recorded.zip"
    with Recorder(recorded) as recorder:
        for index in range(4):
            image = np.zeros((48, 64, 3), np.uint8)
            recorder.add(Frame(image=image, index=index, timestamp_ns=index * 50_000_000, taken_ns=0))

    def one(rng: random.Random) -> None:
        how = rng.random()
        if how < 0.2:
            path.write_bytes(flip(rng, whole.read_bytes()))
        elif how < 0.4:  # a recorder that was killed
            data = recorded.read_bytes()
            path.write_bytes(flip(rng, data[: rng.randrange(30, len(data))]))
        else:
            changed = change_value(rng, lines)
            entries = changed if isinstance(changed, list) else [changed]
            index = "\n".join(map(json.dumps, entries)).encode()
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in members.items():
                    archive.writestr(name, flip(rng, data) if rng.random() < 0.3 else data)
                archive.writestr(INDEX, text_of(rng, lines) if how < 0.5 else index)
        source = ReplaySource(path)
        try:
            source.configure(Wanted())
            source.start()
            for _ in range(100):
                if source.read(1.0) is None:
                    break
        finally:
            source.stop()

    return one


def labels(folder: Path) -> One:
    """Labels for training, and a detector's results, in COCO's format."""
    from export.train.data.examples import read_labels
    from quant.accuracy.boxes import detected_boxes
    from tests.quant.toycoco import write_toy_coco

    root = write_toy_coco(folder / "coco")
    sound = json.loads((root / "annotations/person_keypoints_val2017.json").read_text())
    found = [
        {"image_id": 1, "category_id": 1, "bbox": [1.0, 2.0, 20.0, 30.0], "score": 0.9},
        {"image_id": 2, "category_id": 1, "bbox": [3.0, 4.0, 5.0, 6.0], "score": 0.5},
    ]
    path = folder / "labels.json"

    def one(rng: random.Random) -> None:
        if rng.random() < 0.5:
            path.write_bytes(text_of(rng, sound))
            read_labels(path)
        else:
            path.write_bytes(text_of(rng, found))
            detected_boxes(path)

    return one


TEXTS: dict[str, Callable[[Path], One]] = {
    "configurations": configurations, "own-cards": own_cards, "recipes": recipes, "recordings": recordings,
    "labels": labels,
}  # fmt: skip
