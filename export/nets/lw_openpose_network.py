"""Lightweight OpenPose as an entry of the zoo: weights in, ONNX graph and card out."""

from __future__ import annotations

import numpy as np
import torch

from export.nets.lw_openpose import HEATMAPS, PAFS, STRIDE, LwOpenPose
from export.nets.lw_openpose_sources import SOURCES
from export.nets.lw_openpose_weights import load_lw_openpose
from export.network import Network
from export.onnx_graph import OnnxGraph, from_torch, run
from export.parity import compare
from export.skeletons import OPENPOSE_18, OPENPOSE_18_PAF
from export.weights import find_weights
from quant.outcome import Parity
from quant.progress import Progress
from rpi_runtime.card import InputSpec, ModelCard, OutputSpec, Provenance

OUTPUTS = ("heatmaps", "pafs")


def lw_openpose(source: str, progress: Progress) -> Network:
    """Read weights and return the network."""
    weights = find_weights(source, SOURCES, progress)
    net, scale, notes = load_lw_openpose(weights)
    card = ModelCard(
        name="lw-openpose",
        input=InputSpec(width=160, height=120, mean=(128.0,) * 3, scale=(scale,) * 3),
        skeleton=OPENPOSE_18,
        outputs=(
            OutputSpec(name="heatmaps", role="heatmaps", channels=HEATMAPS, stride=STRIDE),
            OutputSpec(name="pafs", role="pafs", channels=PAFS, stride=STRIDE),
        ),
        decoder=OPENPOSE_18_PAF,
        provenance=Provenance(
            weights_source=weights.source,
            weights_sha256=weights.sha256,
            weights_licence=weights.licence or "as the file's owner says",
            weights_graph=net.graph,
        ),
    )
    return Network(card=card, build=lambda spec: _build(net, spec), notes=tuple(notes))


def _build(net: LwOpenPose, spec: InputSpec) -> tuple[OnnxGraph, list[Parity]]:
    graph = from_torch(net, spec.width, spec.height, OUTPUTS)
    shape = (1, 3, spec.height, spec.width)
    image = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    with torch.inference_mode():
        expected = dict(zip(OUTPUTS, (t.numpy() for t in net(torch.from_numpy(image))), strict=True))
    return graph, compare("torch -> onnx", expected, run(graph, image))
