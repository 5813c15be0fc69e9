"""Checkpoints in the forms in which people save them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.weights.find import find_weights  # noqa: E402 - after the check for torch
from export.weights.wrappers import plain_keys  # noqa: E402
from export.zoo.registry import MODELS  # noqa: E402
from rpi_runtime.errors import InputError, WeightsError  # noqa: E402

State = dict[str, Any]


def state() -> State:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    found: State = net.state_dict()
    return found


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda s: {prefix + key: value for key, value in s.items()}


def profiled(s: State) -> State:
    zero = torch.zeros(1, dtype=torch.float64)
    return s | {"total_ops": zero, "total_params": zero, "0.total_ops": zero, "0.total_params": zero}


TAKEN: dict[str, Callable[[State], Any]] = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"param_groups": [{"lr": 0.1}]}},
    "model": lambda s: {"model": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "epoch": 3, "loss": torch.tensor(0.1)},
    "model_state": lambda s: {"model_state": s},
    "net": lambda s: {"net": s, "acc": 1.0},
    "ema beside the weights": lambda s: {"state_dict": s, "ema": {k: v * 0 for k, v in s.items()}},
    "ema alone": lambda s: {"ema": s, "epoch": 1},
    "a checkpoint in a checkpoint": lambda s: {"model": {"state_dict": s}},
    "Lightning": lambda s: {"state_dict": prefixed("model.")(s), "pytorch-lightning_version": "2.2.0"},
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "AveragedModel": lambda s: {"n_averaged": torch.tensor(5)} | prefixed("module.")(s),
    "thop": profiled,
    "double": lambda s: {k: v.double() if v.is_floating_point() else v for k, v in s.items()},
    "None beside": lambda s: s | {"scheduler": None},
    "channels last": lambda s: {
        k: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in s.items()
    },
}


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return find_weights(str(path), {}).state


@pytest.mark.parametrize("form", TAKEN)
def test_every_form_gives_the_same_weights(tmp_path: Path, form: str) -> None:
    torch.save(TAKEN[form](state()), tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    expected = {k: v for k, v in state().items() if not k.endswith("num_batches_tracked")}
    assert set(found) - {"scheduler"} == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value.numpy())


def first(change: Callable[[Any], Any]) -> Callable[[State], State]:
    return lambda s: s | {"0.weight": change(s["0.weight"])}


REFUSED: dict[str, tuple[Callable[[State], Any], str]] = {
    "sparse": (first(lambda t: t.to_sparse()), "0.weight is of layout torch.sparse_coo"),
    "quantized": (
        first(lambda t: torch.quantize_per_tensor(t, 0.01, 0, torch.qint8)),
        "0.weight is quantized; expected float values",
    ),
    "without values": (first(lambda t: t.to("meta")), "0.weight is on device 'meta', without values"),
    "integers": (first(lambda t: t.to(torch.int8)), "0.weight is of type torch.int8"),
    "complex": (first(lambda t: t.to(torch.complex64)), "0.weight is of type torch.complex64"),
    "one value many times": (
        first(lambda t: torch.zeros(1).expand(2**20, 2**20)),
        "0.weight is of shape (1048576, 1048576), with fewer values stored",
    ),
    "no tensors": (lambda _: {"state": {0: {}}, "param_groups": []}, "no state_dict in it"),
    "nothing": (lambda _: {}, "no state_dict in it"),
    "a list": (lambda s: list(s.values()), "no state_dict in it"),
}


@pytest.mark.filterwarnings("ignore:.*quant.*", "ignore:.*TypedStorage.*")
@pytest.mark.parametrize("form", REFUSED)
def test_tensors_without_float_values_are_one_line(tmp_path: Path, form: str) -> None:
    """Sparse, quantized and meta tensors were tracebacks; integers were taken for weights, all zero."""
    make, message = REFUSED[form]
    torch.save(make(state()), tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        read(tmp_path / "w.pth")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n", "run: git lfs pull"),
        (b"<!DOCTYPE html><html><title>Virus scan warning</title>", "is a web page"),
    ],
)
def test_what_was_fetched_instead_of_weights_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / "w.pth")


def archive(path: Path, names: list[str], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as opened:
        for name in names:
            opened.writestr(name, bytes(1 << 20))
    return path


def test_torchscript_and_archives_that_inflate_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a TorchScript program"):
        read(archive(tmp_path / "a.pt", ["net/data.pkl", "net/code/net.py", "net/constants.pkl"]))
    with pytest.raises(WeightsError, match="is a compressed archive"):
        read(archive(tmp_path / "b.pth", ["w/data.pkl", "w/data/0"], zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".xml", ".bin"])
def test_named_pipes_are_refused_without_waiting(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"w{suffix}")
    with pytest.raises(InputError, match="is a named pipe"):
        read(tmp_path / f"w{suffix}")


def test_a_folder_that_is_not_utf8_can_be_named_in_a_card(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pth"))
    torch.save(state(), path)
    assert find_weights(str(path), {}).source == r"caf\udce9.pth"


@pytest.mark.parametrize("name", MODELS)
def test_keys_of_the_zoo_lose_nothing(name: str) -> None:
    keys = dict.fromkeys(MODELS[name].bare().state_dict())
    assert list(plain_keys(keys)) == list(keys)
