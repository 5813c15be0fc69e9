"""The stored graphs are those of the modules: by their text, and by what they compute with weights in them."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from export.graph.from_torch import to_onnx, to_topology  # noqa: E402
from export.graph.topology import Topology  # noqa: E402
from export.zoo.drawn import DRAWN, path_of  # noqa: E402
from export.zoo.pair import PAIRS, SMALL  # noqa: E402

WIDTH, HEIGHT = 96, 64


def run_onnx(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


@pytest.mark.parametrize("name", DRAWN)
def test_a_stored_graph_is_its_modules(name: str) -> None:
    entry = DRAWN[name]
    text = to_topology(entry.make(), entry.outputs, shapes=entry.shapes)
    stored, drawn = (rounded(t) for t in (path_of(name).read_text(), text))
    assert stored == drawn, "run python -m export.zoo.draw"


def rounded(text: str) -> str:
    """Numbers to six digits: versions of ONNX print them to different lengths."""
    return re.sub(r"\d+\.\d+(e-?\d+)?", lambda number: f"{float(number[0]):.6g}", text)


@pytest.mark.parametrize("name", DRAWN)
def test_a_stored_graph_computes_what_the_modules_own_export_computes(name: str) -> None:
    make, outputs = DRAWN[name].make, DRAWN[name].outputs
    torch.manual_seed(1)
    net = make().eval()
    for buffer in net.buffers():  # a batch norm that has seen something
        if buffer.is_floating_point():
            buffer.data = torch.rand(buffer.shape) + 0.5
    state = {k: v.numpy() for k, v in net.state_dict().items()}
    image = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3, HEIGHT, WIDTH)).astype(np.float32)
    ours = Topology(path_of(name)).run(state, image)
    theirs = run_onnx(to_onnx(net, WIDTH, HEIGHT, outputs), image)
    assert list(ours) == list(outputs)
    for output in outputs:
        scale = np.abs(theirs[output]).max()
        np.testing.assert_allclose(ours[output], theirs[output], atol=2e-6 * scale)


def test_the_networks_with_weights_of_our_own_have_stored_graphs() -> None:
    stored = {name.rpartition("/")[2].removesuffix("-omz") for name in DRAWN}
    assert {"lw-openpose", "lw-openpose-pi", *PAIRS[SMALL]} <= stored


PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(("torch", "tensorflow", "pycocotools")))
from export.zoo.registry import find_model
for name in ("lw-openpose", "lw-openpose-pi", "person-refiner"):
    network = find_model(name).load("bundled")
    made = network.build(network.card.input)
    print(name, len(made.model.operators), list(made.model.outputs))
"""


def test_the_bundled_networks_are_built_without_pytorch() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "lw-openpose 76 ['heatmaps', 'pafs']",
        "lw-openpose-pi 76 ['heatmaps', 'pafs']",
        "person-refiner 764 ['heatmaps']",
    ]
