from __future__ import annotations

import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rpi_runtime.errors import CardError, InputError
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CARD_MEMBER
from rpi_runtime.model.seal import seal_of
from rpi_runtime.model.verify.flatbuffer import MalformedError
from rpi_runtime.model.verify.structure import verify, verify_bytes
from tests.rpi_runtime.toys import CARD, toy_bytes, write_toy

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_a_sound_file_is_taken_with_its_tensors(tmp_path: Path, kind: str) -> None:
    graph = verify(write_toy(tmp_path / "toy.tflite", kind))
    (entry,) = graph.inputs
    assert graph.tensors[entry].shape == (1, 24, 32, 3)
    assert graph.tensors[entry].dtype == kind
    assert set(graph.signatures[0][1]) == {"heatmaps", "pafs"}


def changed(edit: Callable[[Any], None]) -> bytes:
    """The toy with something edited through TFLite's own object interface."""
    flatbuffers = pytest.importorskip("flatbuffers")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(toy_bytes("int8"), 0))
    edit(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def convolution(model: Any) -> Any:
    operators = model.subgraphs[0].operators
    found = next(o for o in operators if type(o.builtinOptions).__name__ == "Conv2DOptionsT")
    found.inputs, found.outputs = list(found.inputs), list(found.outputs)
    return found


def stride(model: Any) -> None:
    convolution(model).builtinOptions.strideW = 0


def dilation(model: Any) -> None:
    convolution(model).builtinOptions.dilationHFactor = -1


def activation(model: Any) -> None:
    convolution(model).builtinOptions.fusedActivationFunction = 5


def weights_shape(model: Any) -> None:
    graph = model.subgraphs[0]
    tensor = graph.tensors[convolution(model).inputs[1]]
    tensor.shape = [tensor.shape[0] * tensor.shape[3], tensor.shape[1], tensor.shape[2], 1]


def unknown_tensor(model: Any) -> None:
    convolution(model).inputs[0] = 4000


def no_weights(model: Any) -> None:
    convolution(model).inputs[1] = -1


def unwritten(model: Any) -> None:
    model.subgraphs[0].operators.pop(0)


def written_twice(model: Any) -> None:
    operators = model.subgraphs[0].operators
    operators.append(operators[-1])


def constant_output(model: Any) -> None:
    found = convolution(model)
    found.outputs[0] = found.inputs[1]


def huge_output(model: Any) -> None:
    model.subgraphs[0].tensors[convolution(model).outputs[0]].shape = [1, 30000, 30000, 3]


def other_type(model: Any) -> None:
    model.subgraphs[0].tensors[convolution(model).outputs[0]].type = 13  # RESOURCE


def no_scale(model: Any) -> None:
    model.subgraphs[0].tensors[convolution(model).outputs[0]].quantization.scale = [float("nan")]


def scales_missing(model: Any) -> None:
    quantization = model.subgraphs[0].tensors[convolution(model).inputs[1]].quantization
    quantization.scale = list(quantization.scale)[:2]
    quantization.zeroPoint = [0, 0]


def control_flow(model: Any) -> None:
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 119  # WHILE


def subgraphs(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def short_buffer(model: Any) -> None:
    buffer = model.buffers[model.subgraphs[0].tensors[convolution(model).inputs[1]].buffer]
    buffer.data = buffer.data[:5]


@pytest.mark.parametrize(
    "edit",
    [
        stride, dilation, activation, weights_shape, unknown_tensor, no_weights, unwritten, written_twice,
        constant_output, huge_output, other_type, no_scale, scales_missing, control_flow, subgraphs, short_buffer,
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(edit: Callable[[Any], None]) -> None:
    verify_bytes(changed(lambda _: None))
    with pytest.raises(MalformedError):
        verify_bytes(changed(edit))


@pytest.mark.parametrize("length", range(8, 3000, 61))
def test_a_cut_file_is_refused(length: int) -> None:
    with pytest.raises(MalformedError):
        verify_bytes(toy_bytes("int8")[:length])


def test_tables_that_are_shared_without_end_are_counted() -> None:
    # 4096 subgraphs that are all one table, which would cost its reading 4096 times
    data = bytearray(toy_bytes("int8"))
    vector = len(data) + (-len(data) % 4)
    root = struct.unpack_from("<I", data)[0]
    vtable = root - struct.unpack_from("<i", data, root)[0]
    place = root + struct.unpack_from("<H", data, vtable + 8)[0]
    first = place + struct.unpack_from("<I", data, place)[0] + 4
    graph = first + struct.unpack_from("<I", data, first)[0]
    data += bytes(vector - len(data)) + struct.pack("<I", 4096)
    for index in range(4096):
        data += struct.pack("<I", (graph - (vector + 4 + 4 * index)) & 0xFFFFFFFF)
    struct.pack_into("<I", data, place, vector - place)
    with pytest.raises(MalformedError):
        verify_bytes(bytes(data))


def sealed(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD_MEMBER, CARD.to_json())
        archive.comment = seal_of(data)
    return path


def test_a_model_refuses_it_in_one_line(tmp_path: Path) -> None:
    path = sealed(tmp_path / "m.tflite", changed(stride))
    with pytest.raises(
        InputError, match=r"its structure is damaged \(operation \d+ CONV_2D: stride .* export it again"
    ):
        Model(path)


def test_a_card_is_compared_before_an_interpreter_loads_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_toy(tmp_path / "m.tflite")

    def loaded() -> None:
        raise AssertionError("an interpreter was asked for")

    monkeypatch.setattr("rpi_runtime.model.interpreter.find_module", loaded)
    with pytest.raises(CardError, match="the card says input"):
        Model(path, card=replace(CARD, input=replace(CARD.input, width=40)))


PROBE = """
import sys
from pathlib import Path
from rpi_runtime.errors import InputError
from rpi_runtime.model.interpreter import Model
from tests.rpi_runtime.toys import CARD
for line in sys.stdin:
    try:
        Model(line.strip(), threads=1, card=CARD).invoke()
        print("ran")
    except InputError:
        print("refused")
"""


def test_files_changed_and_sealed_again_never_end_the_process(tmp_path: Path) -> None:
    """Before the check, about 1 in 20 of these was a SIGSEGV of LiteRT 2.1.0."""
    data = toy_bytes("int8")
    paths = []
    for seed in range(300):
        rng, damaged = random.Random(seed), bytearray(data)
        for _ in range(rng.choice((1, 2, 4))):
            place = rng.randrange(8, len(data) - 4)
            value = rng.choice((0, 1, -1, 2**31 - 1, rng.randrange(2**31)))
            struct.pack_into("<I", damaged, place & ~3, value & 0xFFFFFFFF)
        paths.append(str(sealed(tmp_path / f"{seed}.tflite", bytes(damaged))))
    done = subprocess.run(
        [sys.executable, "-c", PROBE], input="\n".join(paths), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 300
