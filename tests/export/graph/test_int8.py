"""Blocks of the zoo in INT8: one XNNPACK partition, nothing beside it, and near the float file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from export.graph.from_onnx import from_onnx
from export.integers import input_grid
from quant.floats import find_islands
from quant.quantize.quantizer import Quantizer
from quant.recipe import load_recipe
from quant.tflite.records import Model
from rpi_runtime.model.card import InputSpec
from tests.export.blocks import HEIGHT, WIDTH, block_graph, blocks
from tests.quant.toynetwork import delegation, run

# A block is a few INT8 steps from float: 8 bits over the range of its values, less what one outlier widens it by.
LEAST_DB = 25.0  # signal over noise


def images() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(9)
    for _ in range(6):
        yield rng.uniform(-0.5, 0.5, (1, HEIGHT, WIDTH, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def files() -> dict[str, Model]:
    """The float and the INT8 network of all blocks."""
    spec = InputSpec(width=WIDTH, height=HEIGHT)
    real = from_onnx(block_graph(), "blocks.onnx", spec, list(blocks())).model
    quantizer = Quantizer(real, list(images()), input_grid(spec))
    return {"float32": real, "int8": quantizer.quantize(load_recipe("w8c_a8")).model}


def test_all_blocks_are_one_partition(files: dict[str, Model]) -> None:
    for model in files.values():
        found = delegation(model)
        assert (found.partitions, found.fell_back) == (1, ())


def test_what_is_float_is_hard_swish_and_the_global_context(files: dict[str, Model]) -> None:
    islands = find_islands(files["int8"])
    assert all(island.kind != "layers" for island in islands)
    assert {name for i in islands if i.kind == "table" for name in i.operations} <= {"HARD_SWISH"}
    assert not any("CONV" in name for i in islands for name in i.operations)


@pytest.mark.parametrize("name", list(blocks()))
def test_each_block_is_near_the_float_file(files: dict[str, Model], name: str) -> None:
    signal = noise = 0.0
    for image in images():
        real, quantized = (run(files[kind], image)[name] for kind in ("float32", "int8"))
        signal += float(np.square(real - real.mean((0, 1, 2))).sum())
        noise += float(np.square(real - quantized).sum())
    assert 10 * np.log10(signal / noise) > LEAST_DB
