"""A .tflite read into records and written again is the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the records are read and written with LiteRT's schema")

from ai_edge_litert.interpreter import Interpreter

from quant.tflite.read import read_model
from quant.tflite.records import Model, Operator, Quantization, Tensor
from quant.tflite.write import ALIGNMENT, write_model
from rpi_runtime.errors import InputError

TESTS = Path(__file__).parents[2]
TOYS = sorted((TESTS / "rpi_runtime" / "golden").glob("*.tflite"))
NETWORKS = TESTS.parents[1] / "shared" / "data" / "networks"
RAW = sorted(NETWORKS.glob("*/raw/*.tflite"))  # float16 constants, int8 weights


def run(data: bytes) -> dict[str, np.ndarray]:
    """The outputs of a file for one input drawn at random, by the signature's names."""
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    drawn = np.random.default_rng(0).uniform(-1, 1, entry["shape"])
    image = drawn.astype(np.float32) if entry["dtype"] == np.float32 else (100 * drawn).astype(entry["dtype"])
    interpreter.set_tensor(entry["index"], image)
    interpreter.invoke()
    return {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}


@pytest.mark.parametrize("path", TOYS, ids=lambda path: path.name)
def test_toys_compute_the_same(path: Path) -> None:
    data = path.read_bytes()
    written = write_model(read_model(data))
    before, after = run(data), run(written)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert write_model(read_model(written)) == written


@pytest.mark.skipif(not RAW, reason=f"{NETWORKS} is not here")
@pytest.mark.parametrize("path", RAW, ids=lambda path: path.name)
def test_files_of_others_compute_the_same(path: Path) -> None:
    data = path.read_bytes()
    written = write_model(read_model(data))
    assert [v.tobytes() for v in run(data).values()] == [v.tobytes() for v in run(written).values()]
    assert write_model(read_model(written)) == written


def test_the_signature_names_inputs_and_outputs() -> None:
    interpreter = Interpreter(model_content=write_model(_small()), num_threads=1)
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["map"]}}


def test_constants_are_aligned() -> None:
    data = write_model(_small())
    kernel = _small().operators[0].inputs[1]
    assert kernel is not None and kernel.data is not None
    assert data.index(kernel.data.tobytes()) % ALIGNMENT == 0


def test_an_edit_leaves_nothing_behind() -> None:
    model = _small()
    (relu,) = (op for op in model.operators if op.name == "RELU")
    model.replace(relu.outputs[0], model.inputs["image"])
    model.drop_unused()
    again = read_model(write_model(model))
    assert not again.operators and [t.name for t in again.tensors()] == ["image"]


@pytest.mark.parametrize("cut", [3, 40, 200])
def test_a_damaged_file_is_one_line(cut: int) -> None:
    data = write_model(_small())
    with pytest.raises(InputError, match="not a TFLite file"):
        read_model(data[:cut])


def test_an_unknown_option_names_the_known_ones() -> None:
    model = _small()
    model.operators[0].options["strides"] = 2
    with pytest.raises(InputError, match=r"CONV_2D has no option 'strides'; expected one of .*'stride_h'"):
        write_model(model)


def test_a_negative_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Quantization.of(-1.0)


def _small() -> Model:
    """A 1x1 convolution of three channels and a ReLU behind it."""
    image = Tensor(name="image", shape=(1, 4, 4, 3))
    kernel = Tensor.constant("kernel", np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3) - 2)
    bias = Tensor.constant("bias", np.ones(2, np.float32))
    sums, result = Tensor(name="sums", shape=(1, 4, 4, 2)), Tensor(name="relu", shape=(1, 4, 4, 2))
    strides = {"padding": "SAME", "stride_w": 1, "stride_h": 1}
    return Model(
        inputs={"image": image},
        outputs={"map": result},
        operators=[
            Operator(name="CONV_2D", inputs=[image, kernel, bias], outputs=[sums], options=dict(strides)),
            Operator(name="RELU", inputs=[sums], outputs=[result]),
        ],
    )
