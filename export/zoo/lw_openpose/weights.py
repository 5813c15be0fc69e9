"""Published weights of Lightweight OpenPose into the network, whichever form they have."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from export.weights.find import State, Weights, load_state
from export.weights.openvino_ir import Graph, Layer, malformed
from export.zoo.lw_openpose.layouts import HEATMAPS, PAFS, PUBLISHED, Layout
from export.zoo.lw_openpose.module import LwOpenPose
from rpi_runtime.errors import WeightsError


def load_lw_openpose(weights: Weights, layout: Layout = PUBLISHED) -> tuple[LwOpenPose, float, list[str]]:
    """Build the graph that the weights were trained for, and load it.

    Parameters
    ----------
    weights : Weights
    layout : Layout
        Widths; only weights as a state_dict can have others than the published.

    Returns
    -------
    net : LwOpenPose
        In evaluation mode.
    scale : float
        Of the input, ``(value - 128) * scale``.
    notes : list of str
        What the user should know: the graph, what was left out on purpose.
    """
    if weights.ir is not None:
        with malformed(weights.ir.path):
            return _from_ir(weights.ir, weights.source)
    graph = "omz" if any(k.startswith("cpm.reduce.") for k in weights.state) else "osokin"
    net = LwOpenPose(graph, layout=layout)  # type: ignore[arg-type]
    later = ("refinement_stages.1.", "refinement_stages.2.")
    left_out = load_state(net, weights.state, weights.source, later)
    notes = [f"graph {graph}"]
    if left_out:
        notes.append(
            f"refinement stages 2 and 3 dropped on purpose ({len(left_out)} keys): deployed with one"
        )
    return net, 1 / 255 if graph == "omz" else 1 / 256, notes


def _from_ir(ir: Graph, source: str) -> tuple[LwOpenPose, float, list[str]]:
    net = LwOpenPose("omz")
    slots = dict(zip(_chain(), _chain_layers(ir), strict=True)) | _head_layers(ir)
    state: State = {}
    for key, layer in slots.items():
        state[f"{key}.weight"], state[f"{key}.bias"] = ir.kernel(layer), ir.bias(layer)
    load_state(net, state, source)
    mean, scale = _normalisation(ir)
    if abs(mean - 128) > 0.5:
        raise WeightsError(f"{source}: the graph subtracts {mean:.2f} from its input; expected 128")
    _check_against_ir(net, ir, scale, source)
    return net, scale, ["graph omz"]


def _chain() -> list[str]:
    """Keys of the convolutions outside the four heads, in the order of the data."""
    keys = ["model.0.0"] + [f"model.{i}.{j}" for i in range(1, 12) for j in (0, 2)]
    keys += ["cpm.align.0", "cpm.reduce.0"] + [f"cpm.trunk.{i}.{j}" for i in range(3) for j in (0, 2)]
    keys += ["cpm.conv.0"] + [f"initial_stage.trunk.{i}.0" for i in range(3)]
    for i in range(5):
        block = f"refinement_stages.0.trunk.{i}"
        keys += [f"{block}.initial.0", f"{block}.trunk.0.0", f"{block}.trunk.1.0"]
    return keys


def _heads(ir: Graph) -> list[tuple[Layer, Layer]]:
    """Hidden and last convolution of each head, first stage before second."""
    by_id = {c.id: c for c in ir.convolutions()}
    last = [c for c in by_id.values() if ir.kernel(c).shape[0] in (HEATMAPS, PAFS)]
    pairs = [(by_id.get(ir.source(c)), c) for c in last]
    if len(pairs) != 4 or any(hidden is None for hidden, _ in pairs):
        raise WeightsError(
            f"{ir.path}: {len(last)} outputs of {HEATMAPS} or {PAFS} channels; expected the four of "
            "human-pose-estimation-0001"
        )
    return [(hidden, c) for hidden, c in pairs if hidden is not None]


def _head_layers(ir: Graph) -> dict[str, Layer]:
    slots = {}
    for index, (hidden, last) in enumerate(_heads(ir)):
        stage = "initial_stage" if index < 2 else "refinement_stages.0"
        head = "heatmaps" if ir.kernel(last).shape[0] == HEATMAPS else "pafs"
        slots[f"{stage}.{head}.0.0"], slots[f"{stage}.{head}.1.0"] = hidden, last
    return slots


def _chain_layers(ir: Graph) -> list[Layer]:
    in_heads = {c.id for pair in _heads(ir) for c in pair}
    chain = [c for c in ir.convolutions() if c.id not in in_heads]
    if len(chain) != len(_chain()):
        raise WeightsError(
            f"{ir.path}: {len(chain) + 8} convolutions, expected {len(_chain()) + 8}; "
            "this is not human-pose-estimation-0001"
        )
    return chain


def _normalisation(ir: Graph) -> tuple[float, float]:
    """Mean and scale that the graph itself applies to pixel values before its first convolution.

    float16 files round them; 1 / scale is a whole number in every published file.
    """
    first = ir.layers[ir.convolutions()[0].inputs[0]]
    factor, shift = 1.0, 0.0
    while first.type != "Parameter":
        live = [i for i in first.inputs if i not in ir.constants]
        constants = [i for i in first.inputs if i in ir.constants]
        if first.type in ("Multiply", "Add") and constants:
            value = float(ir.constants[constants[0]].astype(np.float32).mean())
            shift = shift + factor * value if first.type == "Add" else shift
            factor = factor * value if first.type == "Multiply" else factor
        first = ir.layers[live[0]]
    mean = -shift / factor
    return mean, 1 / round(1 / factor)


def _check_against_ir(net: LwOpenPose, ir: Graph, scale: float, source: str) -> None:
    """Run both graphs on the same noise: proves that every tensor sits where it belongs."""
    pixels: NDArray[np.float64] = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96))
    expected = ir.run(pixels)
    with torch.inference_mode():
        outputs = net(torch.from_numpy(((pixels - 128) * scale).astype(np.float32)))
    for out in outputs:
        want = expected.get(out.shape[1])
        # leaves room for the f16 rounding of the file's own normalisation
        if want is None or not np.allclose(out.numpy(), want, atol=1e-3 * float(np.abs(want).max())):
            raise WeightsError(f"{source}: the network computes something else than its OpenVINO graph")
