"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest


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
