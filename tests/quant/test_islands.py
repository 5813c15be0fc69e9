"""Float islands become int8 operations: the same bytes out, the same file otherwise."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from quant.convert import convert
from quant.flatbuffer import ALIGNMENT, TFLiteFile, append_members
from quant.gate import check_structure
from quant.islands import rewrite_islands
from quant.quiet import quiet
from quant.recipe import load_recipe
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from tests.quant.toyconvert import HEIGHT, WIDTH, convert_plainly, inputs, run, save_network

SPEC = InputSpec(width=WIDTH, height=HEIGHT)
INTERPRETERS = ["ai_edge_litert", "tensorflow"]


@pytest.fixture(scope="module")
def with_islands(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return convert_plainly(save_network(tmp_path_factory.mktemp("elu")))


@pytest.fixture(scope="module")
def rewritten(with_islands: bytes) -> bytes:
    data, count = rewrite_islands(with_islands)
    assert count == 2
    return data


def failed(data: bytes) -> dict[str, str]:
    return {c.name: c.found for c in check_structure(data, SPEC) if not c.passed}


def test_before_there_are_islands_and_after_only_int8(with_islands: bytes, rewritten: bytes) -> None:
    before, after = TFLiteFile(with_islands), TFLiteFile(rewritten)
    assert before.count_operations()["DEQUANTIZE"] == before.count_operations()["QUANTIZE"] == 2
    assert before.count_types()["FLOAT32"] > 0
    assert set(failed(with_islands)) == {"tensors that are not integer", "converting operations"}
    assert set(after.count_types()) <= {"INT8", "INT32"}
    assert after.count_operations() == {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 1, "ELU": 2}
    assert failed(rewritten) == {}


@pytest.mark.parametrize("module", INTERPRETERS)
def test_outputs_are_bit_identical(with_islands: bytes, rewritten: bytes, module: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        image = rng.integers(-128, 128, (1, HEIGHT, WIDTH, 3)).astype(np.int8)
        before, after = run(with_islands, image, module), run(rewritten, image, module)
        assert sorted(before) == sorted(after) == ["fields", "maps"]
        for name, value in before.items():
            assert value.dtype == np.int8
            assert np.ptp(value.astype(int)) > 50
            np.testing.assert_array_equal(after[name], value)


def test_constants_lie_at_multiples_of_the_schemas_alignment(rewritten: bytes) -> None:
    model = schema.Model.GetRootAs(rewritten, 0)
    places = []
    for index in range(model.BuffersLength()):
        table = model.Buffers(index)._tab
        if offset := table.Offset(4):
            places.append(table.Vector(offset))
    assert len(places) > 5
    assert [p % ALIGNMENT for p in places] == [0] * len(places)


def test_nothing_but_what_the_islands_were_is_left_out(with_islands: bytes, rewritten: bytes) -> None:
    before, after = TFLiteFile(with_islands), TFLiteFile(rewritten)
    assert len(after.operations) == len(before.operations) - 4
    used = {i for op in after.operations for i in (*op.inputs, *op.outputs) if i >= 0}
    assert used | set(map(int, after.graph.inputs)) == set(range(len(after.tensors)))
    assert len({t.buffer for t in after.graph.tensors}) <= len(after.model.buffers)
    signature = after.model.signatureDefs[0]
    names = {e.name.decode(): after.tensors[e.tensorIndex].shape for e in signature.outputs}
    assert names == {"maps": (1, 8, 12, 5), "fields": (1, 8, 12, 6)}
    assert [m.name for m in after.model.metadata] == [m.name for m in before.model.metadata]


def test_a_file_without_islands_keeps_its_outputs(rewritten: bytes) -> None:
    again, count = rewrite_islands(rewritten)
    image = np.zeros((1, HEIGHT, WIDTH, 3), np.int8)
    assert count == 0
    before, after = run(rewritten, image, "tensorflow"), run(again, image, "tensorflow")
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_another_float_island_is_named_by_the_gate(tmp_path: Path) -> None:
    data = convert_plainly(save_network(tmp_path, tf.math.cos))
    rest, count = rewrite_islands(data)
    found = failed(rest)
    assert count == 0
    assert "tensors that are not integer" in found
    assert "DEQUANTIZE" in found["converting operations"]


def test_the_recipes_conversion_leaves_no_island(tmp_path: Path) -> None:
    with quiet():  # TensorFlow's converter warns of its own interpreter
        data = convert(save_network(tmp_path), load_recipe("w8c_a8"), inputs)
    assert failed(data) == {}
    with pytest.raises(ValueError, match="needs calibration images"):
        convert(tmp_path, load_recipe("w8c_a8"))


def test_members_are_the_same_bytes_each_time_and_zip_reads_them(rewritten: bytes) -> None:
    members = {"a/card.json": "{}", "b.txt": "text\n" * 100}
    whole = append_members(rewritten, members)
    assert whole == append_members(rewritten, members)
    assert whole.startswith(rewritten)
    with zipfile.ZipFile(BytesIO(whole)) as archive:
        assert {n: archive.read(n).decode() for n in archive.namelist()} == members
    image = np.ones((1, HEIGHT, WIDTH, 3), np.int8)
    for module in INTERPRETERS:
        expected = run(rewritten, image, module)
        for name, value in run(whole, image, module).items():
            np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("data", [b"", b"text", b"\0" * 8, b"PK\3\4 a zip file"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="no TFL3 identifier"):
        TFLiteFile(data)


def test_operations_that_tflite_lacks_are_named(tmp_path: Path) -> None:
    saved = save_network(tmp_path, tf.math.erf)
    with pytest.raises(InputError, match=r"TFLite cannot express this network \(it has no Erf\)"), quiet():
        convert(saved, load_recipe("w32_a32"))
