"""Fixtures for the tests of the export."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ONNX file and card of the toy network."""
    from tests.export.toynet import write_toy_network

    return write_toy_network(tmp_path_factory.mktemp("toynet"))
