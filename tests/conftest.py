"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

from tests.once import made_once

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Unavailable(MetaPathFinder):
    """Skips a test, or a module of tests, that imports PyTorch on the way, however deep."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "torch":
            reason = 'PyTorch is not installed: it comes with the extra "train", see CONTRIBUTING.md'
            pytest.skip(reason, allow_module_level=True)


if importlib.util.find_spec("torch") is None:
    sys.meta_path.append(Unavailable())


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal() -> Iterator[None]:
    """Give the tests and their child processes the signal settings of a terminal.

    A shell starts a background job with SIGINT ignored, `nohup` ignores SIGHUP, and a parent may have blocked
    signals. Every child inherits that, and then Ctrl-C and `systemctl stop` do nothing to the programs under test.
    """
    settings = {number: signal.getsignal(number) for number in STOPPING}
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    for number, setting in settings.items():
        if setting is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    yield
    for number, setting in settings.items():
        signal.signal(number, setting)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the data and fixtures that must not be committed; skips where it is missing."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"no {path}: it holds data that belongs to its owners")
    return path


@pytest.fixture(scope="session")
def toy_coco(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A toy .tflite whose skeleton COCO can score, and a COCO folder with two splits of a few seeded pictures."""
    from tests.quant.toycoco import write_toy_coco, write_toy_model

    folder = tmp_path_factory.mktemp("toycoco")
    return write_toy_model(folder / "toy.tflite"), write_toy_coco(folder / "coco")


@pytest.fixture(scope="session")
def weights(shared: Path) -> Path:
    """Published weights of Lightweight OpenPose, an OpenVINO .xml beside its .bin."""
    return shared / "data/weights/human-pose-estimation-0001/FP16-INT8/human-pose-estimation-0001.xml"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lw-openpose-160x120-int8.tflite as the main job makes it from the package alone, with its reports beside it."""
    from export.tflite import main

    def make(folder: Path) -> None:
        assert main(["--model", "lw-openpose", "--int8", "--output", str(folder), "--json"]) == 0

    return made_once(tmp_path_factory, "exported", make) / "lw-openpose-160x120-int8.tflite"
