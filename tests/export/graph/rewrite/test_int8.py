"""The rewritten blocks in INT8: one XNNPACK partition, nothing beside it, and near the float file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quant.quiet import quiet

with quiet():
    from ai_edge_litert.interpreter import Interpreter

    from export.graph.graph import run
    from export.graph.rewrite.passes import rewrite
    from export.graph.savedmodel import to_savedmodel
    from quant.convert import convert

from quant.flatbuffer import TFLiteFile
from quant.floats import find_islands
from quant.recipe import load_recipe
from rpi_runtime.model.delegation import delegation_of
from tests.export.blocks import HEIGHT, WIDTH, block_graph, blocks

# A block is a few INT8 steps from float: 8 bits over the range of its values, less what one outlier widens it by.
LEAST_DB = 25.0


def images() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(9)
    for _ in range(6):
        yield rng.uniform(-0.5, 0.5, (1, HEIGHT, WIDTH, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The float and the INT8 file of all blocks."""
    graph, _ = rewrite(block_graph())
    with quiet():
        saved = to_savedmodel(graph, tmp_path_factory.mktemp("blocks"))
        return {
            kind: convert(saved, load_recipe(recipe), images)
            for kind, recipe in (("float32", "w32_a32"), ("int8", "w8c_a8"))
        }


def outputs(data: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    with quiet():
        runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    scale, zero = runner.get_input_details()["image"]["quantization"]
    if scale:
        image = np.clip(np.rint(image / scale) + zero, -128, 127).astype(np.int8)
    found = {}
    for name, value in runner(image=image).items():
        scale, zero = runner.get_output_details()[name]["quantization"]
        found[name] = (value.astype(np.float32) - zero) * scale if scale else value
    return found


def test_all_blocks_are_one_partition(files: dict[str, bytes]) -> None:
    for data in files.values():
        with quiet():
            interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
        delegation = delegation_of(interpreter._get_ops_details())
        assert (delegation.partitions, delegation.fell_back) == (1, ())


def test_what_is_float_is_hard_swish_and_the_global_context(files: dict[str, bytes]) -> None:
    islands = find_islands(files["int8"])
    assert all(island.allowed for island in islands)
    assert sorted(island.kind for island in islands) == ["chain", "table"]
    (chain,) = (i for i in islands if i.kind == "chain")
    assert {"EXP", "DIV"} <= set(chain.operations)
    assert not any("CONV" in name for name in chain.operations)


def test_no_operation_is_left_that_xnnpack_lacks(files: dict[str, bytes]) -> None:
    kinds = TFLiteFile(files["int8"]).count_operations()
    assert not {"RESIZE_NEAREST_NEIGHBOR", "SOFTMAX", "MINIMUM", "PADV2", "TRANSPOSE", "TRANSPOSE_CONV"} & {
        *kinds
    }


@pytest.mark.parametrize("name", list(blocks()))
def test_each_block_is_near_the_float_file(files: dict[str, bytes], name: str) -> None:
    signal = noise = 0.0
    for image in images():
        real, quantized = (outputs(files[kind], image)[name] for kind in ("float32", "int8"))
        signal += float(np.square(real - real.mean((0, 1, 2))).sum())
        noise += float(np.square(real - quantized).sum())
    assert 10 * np.log10(signal / noise) > LEAST_DB


def test_the_float_file_is_the_original(files: dict[str, bytes], tmp_path: Path) -> None:
    original = block_graph()
    for image in images():
        expected = run(original, image.transpose(0, 3, 1, 2))
        for name, value in outputs(files["float32"], image).items():
            want = expected[name].transpose(0, 2, 3, 1)
            np.testing.assert_allclose(value, want, atol=2e-5 * np.abs(want).max(), rtol=0)
