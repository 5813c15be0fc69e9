"""Weights from files: read without running code, damaged ones refused, keys checked one by one."""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.weights.find import find_weights
from export.weights.module import load_state
from export.zoo.lw_openpose.sources import SOURCES
from rpi_runtime.errors import WeightsError


def tiny() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def read(path: Path) -> dict[str, Any]:
    return find_weights(str(path), {}).state


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    """A checkpoint as the original repository writes it: a pickle without zip, with optimizer and scheduler."""
    net = tiny()
    optimizer = torch.optim.Adam(net.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[100, 200, 260])
    checkpoint = {
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "iter": 370000,
        "current_epoch": 280,
    }
    assert isinstance(checkpoint["scheduler"]["milestones"], Counter)
    path = tmp_path / "checkpoint.pth"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    return path


def test_legacy_checkpoint(legacy: Path) -> None:
    state = read(legacy)
    assert not zipfile.is_zipfile(legacy)
    for key, value in tiny().state_dict().items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(state[key], value.numpy())


def test_a_trainers_checkpoint_gives_its_best_weights(tmp_path: Path) -> None:
    net, path = tiny(), tmp_path / "checkpoint.pth.tar"
    last = {f"module.{k}": torch.zeros_like(v) for k, v in net.state_dict().items()}
    figures = {"epoch": 3, "perf": np.float64(0.5), "best": np.float32(1)}
    torch.save({**figures, "state_dict": last, "best_state_dict": net.state_dict()}, path)
    state = read(path)
    for key, value in net.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(state[key], value.numpy())
    torch.save({**figures, "state_dict": last}, path)
    assert list(read(path)) == [k for k in net.state_dict() if not k.endswith("num_batches_tracked")]
    assert not any(v.any() for v in read(path).values())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_plain_state_dict(tmp_path: Path, prefix: str, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {prefix + k: v for k, v in tiny().state_dict().items()}
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    net = tiny()
    net[0].weight.data.zero_()
    assert load_state(net, read(path), "test") == []
    assert torch.equal(net[0].weight, tiny()[0].weight)
    assert not net.training


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path: Path, zipped: bool) -> None:
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    data = {"state_dict": tiny().state_dict(), "extra": Payload(marker)}
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="could run code"):
        read(path)
    assert not marker.exists()


def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(WeightsError):
        read(path)
    assert not marker.exists()


def whole_file(kind: str, folder: Path, legacy: Path) -> Path:
    """Write a file of weights in one of three formats; `legacy` is the first of them."""
    path = folder / ("whole.safetensors" if kind == "safetensors" else "whole.pth")
    if kind == "legacy":
        return legacy
    if kind == "zip":
        torch.save(tiny().state_dict(), path)
    else:
        save_file(tiny().state_dict(), path)
    return path


@pytest.mark.parametrize("part", [0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999])
@pytest.mark.parametrize("kind", ["legacy", "zip", "safetensors"])
def test_truncated_files(tmp_path: Path, legacy: Path, kind: str, part: float) -> None:
    path = whole_file(kind, tmp_path, legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["legacy", "zip", "safetensors"])
def test_flipped_bytes_give_weights_or_a_weights_error(tmp_path: Path, legacy: Path, kind: str) -> None:
    path = whole_file(kind, tmp_path, legacy)
    data = path.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read(path)
        except WeightsError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize(
    ("content", "expected"),
    [([1, 2], "no state_dict"), ({"a": 1}, "no state_dict"), (torch.zeros(2), "no state_dict")],
)
def test_other_contents(tmp_path: Path, content: object, expected: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=expected):
        read(tmp_path / "other.pth")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither a file nor one of omz, osokin"):
        find_weights("omzz", SOURCES)
    with pytest.raises(WeightsError, match="'omzz': no such file"):
        find_weights("omzz", {})
    (tmp_path / "weights.caffemodel").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"unknown kind of weights '.caffemodel'"):
        read(tmp_path / "weights.caffemodel")
    with pytest.raises(WeightsError, match=r"0 .xml files"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".xml"])
@pytest.mark.parametrize("call", ["open", "exists"])
def test_files_that_may_not_be_read_are_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, call: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    state = tiny().state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)

    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os if call == "open" else Path, call, refuse)
    with pytest.raises(WeightsError) as caught:
        read(path)
    expected = f"{path}: cannot be read (Permission denied); make it readable, or give other --weights"
    assert str(caught.value) == expected


def test_missing_unexpected_misshapen_and_not_finite_keys_are_all_listed() -> None:
    state = {k: v.numpy().copy() for k, v in tiny().state_dict().items()}
    del state["0.bias"]
    state["2.weight"] = np.zeros(3, np.float32)
    state["0.weight"] = np.zeros((4, 3, 5, 5), np.float32)
    state["1.weight"][2] = np.nan
    state["1.running_var"][0] = np.inf
    with pytest.raises(WeightsError) as caught:
        load_state(tiny(), state, "file.pth")
    text = str(caught.value)
    for problem in (
        "missing 0.bias",
        "unexpected 2.weight",
        "0.weight is (4, 3, 5, 5), expected (4, 3, 3, 3)",
        "1.weight holds NaN or infinity",
        "1.running_var holds NaN or infinity",
    ):
        assert problem in text
    assert text.startswith("file.pth: ")


def test_many_problems_are_counted() -> None:
    state = {f"other.{i}": np.zeros(1, np.float32) for i in range(30)}
    with pytest.raises(WeightsError, match=r"and 24 more"):
        load_state(tiny(), state, "file.pth")


def test_keys_dropped_on_purpose_are_returned() -> None:
    state = {k: v.numpy() for k, v in tiny().state_dict().items()} | {"late.0": np.zeros(1, np.float32)}
    assert load_state(tiny(), state, "file.pth", ("late.",)) == ["late.0"]
