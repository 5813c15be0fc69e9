"""The model zoo by name: every folder beside this file that has an ``entry.py`` with `ENTRIES`."""

from __future__ import annotations

import importlib
import pkgutil
import shlex

from export import zoo
from export.zoo.entry import Entry, Trainable
from rpi_runtime.errors import UsageError
from rpi_runtime.suggest import did_you_mean


def _read() -> tuple[dict[str, Entry], dict[str, Trainable]]:
    """Return the networks to choose by name, those with weights in the package first, and all trainable networks."""
    offered: dict[str, Entry] = {}
    candidates: dict[str, Trainable] = {}
    for folder in pkgutil.iter_modules(zoo.__path__):
        if not folder.ispkg:
            continue
        module = importlib.import_module(f"{zoo.__name__}.{folder.name}.entry")
        found = [*module.ENTRIES, *getattr(module, "CANDIDATES", ())]
        if twice := (offered.keys() | candidates.keys()) & set(found):
            raise ValueError(f"export/zoo/{folder.name}: {', '.join(sorted(twice))} is another folder's name")
        offered |= module.ENTRIES
        candidates |= getattr(module, "CANDIDATES", {})
    models = dict(sorted(offered.items(), key=lambda item: not item[1].bundled))
    return models, {**models, **candidates}


MODELS, TRAINABLE = _read()


def find_model(name: str) -> Entry:
    """Return a network's entry; raises `UsageError` with the nearest name for an unknown one."""
    if name in MODELS:
        return MODELS[name]
    if name.endswith((".onnx", ".tflite")):
        option = name.rpartition(".")[2]
        raise UsageError(
            f"--model {name}: expected the name of a network of the zoo; a file of your own goes with its card: "
            f"export.tflite --{option} {shlex.quote(name)} --card CARD"
        )
    raise UsageError(f"no model {name!r}; {did_you_mean(name, MODELS)}")


def find_trainable(name: str) -> Trainable:
    """Return a trainable network; raises `UsageError` with the nearest name for an unknown one."""
    if name in TRAINABLE:
        return TRAINABLE[name]
    raise UsageError(f"no network {name!r} to train; {did_you_mean(name, TRAINABLE)}")
