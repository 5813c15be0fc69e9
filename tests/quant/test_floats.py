"""Islands of float: tables for one function, chains for what INT8 has no sound kernel for; the rest stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.quiet import quiet

with quiet():
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

from quant.flatbuffer import TFLiteFile
from quant.floats import LARGEST_SHARE, compute_in_float, find_islands
from rpi_runtime.model.delegation import Delegation, delegation_of

HEIGHT, WIDTH, CHANNELS = 24, 32, 16


def images() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for _ in range(4):
        yield rng.uniform(-0.5, 0.5, (1, HEIGHT, WIDTH, 3)).astype(np.float32)


def networks(body: Any) -> tuple[bytes, bytes]:
    """A convolution, `body`, a convolution: float and INT8 as TensorFlow's converter gives it."""
    rng = np.random.default_rng(3)
    first, last = (rng.normal(0, 1, s).astype(np.float32) for s in ((3, 3, 3, CHANNELS), (1, 1, CHANNELS, 4)))

    @tf.function(input_signature=[tf.TensorSpec((1, HEIGHT, WIDTH, 3), tf.float32, name="image")])
    def serve(image: Any) -> Any:
        x = tf.nn.conv2d(image, first, 1, "SAME")
        return tf.nn.conv2d(body(x), last, 1, "SAME")

    with quiet():
        function = serve.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        real = bytes(converter.convert())
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([i] for i in images())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return real, bytes(converter.convert())


def conv(x: Any, kernel: np.ndarray) -> Any:
    return tf.nn.conv2d(x, tf.constant(kernel.astype(np.float32)), 1, "SAME")


def hard_swish(x: Any) -> Any:
    return x * tf.nn.relu6(x + 3.0) * (1 / 6)


def attention(x: Any) -> Any:
    """The weighted mean over positions, its root mean square taken out, added to all positions."""
    rng = np.random.default_rng(5)
    for _ in range(3):  # so that the chain is a small part of the network
        x = tf.nn.relu(conv(x, rng.normal(0, 0.4, (1, 1, CHANNELS, CHANNELS))))
    logits = conv(x, rng.normal(0, 1, (1, 1, CHANNELS, 1)))
    weights = tf.exp(logits - tf.reduce_max(logits, [1, 2], keepdims=True))
    narrow = conv(x, np.eye(CHANNELS, 4)[None, None])
    mean = tf.reduce_mean(weights * narrow, [1, 2], keepdims=True) / tf.reduce_mean(
        weights, [1, 2], keepdims=True
    )
    unit = mean / tf.sqrt(tf.reduce_mean(mean * mean, 3, keepdims=True) + 1e-3)
    return x + conv(unit, rng.normal(0, 1, (1, 1, 4, CHANNELS)))


def outputs(data: bytes, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Real output, and its quantization step."""
    with quiet():
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    (entry,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = entry["quantization"]
    if scale:
        image = np.clip(np.rint(image / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(entry["index"], image)
    interpreter.invoke()
    value, (scale, zero) = interpreter.get_tensor(out["index"]), out["quantization"]
    return ((value.astype(np.float32) - zero) * scale, scale) if scale else (value, 0.0)


def delegation(data: bytes) -> Delegation:
    with quiet():
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    return delegation_of(interpreter._get_ops_details())


@pytest.fixture(scope="module")
def swishing() -> tuple[bytes, bytes]:
    return networks(hard_swish)


@pytest.fixture(scope="module")
def attending() -> tuple[bytes, bytes]:
    return networks(attention)


def test_a_hard_swish_becomes_a_table_in_the_one_partition(swishing: tuple[bytes, bytes]) -> None:
    before = delegation(swishing[1])
    assert (before.partitions, before.fell_back) == (2, ("HARD_SWISH",))
    data, islands = compute_in_float(swishing[1])
    assert [(i.kind, i.operations, i.elements) for i in islands] == [
        ("table", ("HARD_SWISH",), HEIGHT * WIDTH * CHANNELS)
    ]
    assert find_islands(data) == islands
    after = delegation(data)
    assert (after.partitions, after.fell_back) == (1, ())
    kinds = TFLiteFile(data).count_operations()
    assert kinds == {"CONV_2D": 2, "DEQUANTIZE": 1, "HARD_SWISH": 1, "QUANTIZE": 1}


def test_a_table_gives_what_the_kernel_gave_to_within_a_step(swishing: tuple[bytes, bytes]) -> None:
    data, _ = compute_in_float(swishing[1])
    for image in images():
        real, _ = outputs(swishing[0], image)
        before, step = outputs(swishing[1], image)
        after, _ = outputs(data, image)
        assert (
            np.abs(after - before).max() <= 2.01 * step
        )  # one step of the hard-swish through the convolution
        assert np.abs(after - real).mean() <= 1.1 * np.abs(before - real).mean()


def test_a_chain_is_computed_in_float_up_to_the_convolutions(attending: tuple[bytes, bytes]) -> None:
    data, islands = compute_in_float(attending[1])
    (chain,) = islands
    assert chain.kind == "chain"
    assert {"EXP", "DIV", "SUB", "MEAN", "MUL"} <= set(chain.operations)
    assert not {"CONV_2D", "REDUCE_MAX"} & set(chain.operations)
    assert find_islands(data) == islands
    after = delegation(data)
    assert (after.partitions, after.fell_back) == (1, ())


def test_a_chain_is_nearer_to_float(attending: tuple[bytes, bytes]) -> None:
    data, _ = compute_in_float(attending[1])
    errors = []
    for image in images():
        real, _ = outputs(attending[0], image)
        errors.append([np.square(outputs(d, image)[0] - real).mean() for d in (attending[1], data)])
    before, after = np.mean(errors, axis=0)
    assert after < 0.5 * before


def test_every_float_tensor_lies_between_conversions(attending: tuple[bytes, bytes]) -> None:
    file = TFLiteFile(compute_in_float(attending[1])[0])
    tensors = file.tensors
    for op in file.operations:
        types = {tensors[i].type for i in (*op.inputs, *op.outputs)} - {"INT32"}
        assert types == {"INT8", "FLOAT32"} if op.name in ("QUANTIZE", "DEQUANTIZE") else len(types) == 1


@pytest.mark.parametrize("body", [tf.nn.relu, lambda x: x * tf.sigmoid(x)], ids=["relu", "swish"])
def test_a_file_without_such_operations_stays_byte_for_byte(body: Any) -> None:
    data = networks(body)[1]
    assert compute_in_float(data) == (data, [])
    assert find_islands(data) == []


def test_a_chain_of_the_whole_map_is_left_to_the_gate() -> None:
    data = networks(lambda x: tf.exp(x * 0.1) * 2.0)[1]
    after, islands = compute_in_float(data)
    assert LARGEST_SHARE < 0.5
    assert (after, islands) == (data, [])
    assert "EXP" in delegation(after).fell_back


def test_twice_is_once(attending: tuple[bytes, bytes], tmp_path: Path) -> None:
    once, islands = compute_in_float(attending[1])
    twice, again = compute_in_float(once)
    assert again == islands
    for image in images():
        np.testing.assert_array_equal(outputs(once, image)[0], outputs(twice, image)[0])
