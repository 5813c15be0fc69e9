"""Parts of a file are cut out with what they read, and timed against the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from quant.cost import cut_out, least_times, share_of_time
from quant.flatbuffer import TFLiteFile
from tests.quant.toyconvert import HEIGHT, WIDTH, convert_plainly, run, save_network


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return convert_plainly(save_network(tmp_path_factory.mktemp("cost"), tf.nn.relu))


def test_a_part_reads_what_the_rest_made_and_gives_what_it_gave(data: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    part = Interpreter(model_content=cut_out(data, {1, 2, 3}))
    part.allocate_tensors()
    file = TFLiteFile(cut_out(data, {1, 2, 3}))
    assert [op.name for op in file.operations] == [op.name for op in TFLiteFile(data).operations[1:]]
    (entry,) = part.get_input_details()
    head = Interpreter(model_content=cut_out(data, {0}))
    head.allocate_tensors()
    image = np.random.default_rng(0).integers(-128, 128, (1, HEIGHT, WIDTH, 3)).astype(np.int8)
    head.set_tensor(head.get_input_details()[0]["index"], image)
    head.invoke()
    part.set_tensor(entry["index"], head.get_tensor(head.get_output_details()[0]["index"]))
    part.invoke()
    found = {d["shape"][-1]: part.get_tensor(d["index"]) for d in part.get_output_details()}
    for value in run(data, image, "ai_edge_litert").values():
        np.testing.assert_array_equal(found[value.shape[-1]], value)


def test_shares_of_time(data: bytes) -> None:
    assert share_of_time(data, ()) == 0
    assert 0 < share_of_time(data, {0}, repeats=5) < 1.5


def test_the_parts_shares_add_up_to_about_all(tmp_path: Path) -> None:
    body = convert_plainly(save_network(tmp_path, lambda x: tf.nn.relu(wide(x))))
    operations = TFLiteFile(body).operations
    total = sum(share_of_time(body, {i}, repeats=30) for i in range(len(operations)))
    assert 0.6 < total < 1.6


def wide(x: tf.Tensor) -> tf.Tensor:
    """Convolutions that take long enough to be timed one by one."""
    rng = np.random.default_rng(4)
    kernels = [rng.normal(0, 0.1, (3, 3, *shape)).astype(np.float32) for shape in ((8, 256), (256, 8))]
    for kernel in kernels:
        x = tf.nn.conv2d(x, tf.constant(kernel), 1, "SAME")
    return x


def test_runs_are_in_turn_and_the_first_does_not_count() -> None:
    order: list[str] = []

    class Standin:
        def __init__(self, name: str) -> None:
            self.name = name

        def invoke(self) -> None:
            order.append(self.name)

    assert len(least_times([Standin("a"), Standin("b")], 2)) == 2
    assert order == ["a", "b"] * 3
