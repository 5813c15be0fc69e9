"""EfficientHRNet: weights in, float model and card out."""

from __future__ import annotations

from export.graph.float_model import FloatModel
from export.graph.from_torch import build_from_torch
from export.weights.find import find_weights, provenance
from export.weights.module import load_state
from export.zoo.description import Description
from export.zoo.efficienthrnet.entry import describe, zoo_name
from export.zoo.efficienthrnet.form import EfficientHRNetForm, split
from export.zoo.efficienthrnet.module import EfficientHRNet
from export.zoo.efficienthrnet.scales import JOINTS, SCALES, Name
from export.zoo.network import Network
from rpi_runtime.model.card import InputSpec


def load_network(name: Name, source: str) -> Network:
    """Read weights, with either width of the second head, and return the network."""
    weights = find_weights(source, {})
    second = weights.state.get("final_layers.1.weight")
    twice = second is not None and second.shape[0] == 2 * JOINTS
    net = EfficientHRNet(name, tags_twice=twice)
    load_state(net, weights.state, weights.source)
    description = describe(SCALES[name].size, tags_twice=twice)
    return Network(
        card=description.exported_card(zoo_name(name), provenance(weights, "ae2" if twice else "ae1")),
        build=lambda spec: _build(net, description, spec),
        step=description.step,
        notes=(f"tags at {'both strides' if twice else 'stride 4 only'}",),
    )


def _build(net: EfficientHRNet, description: Description, spec: InputSpec) -> FloatModel:
    form = EfficientHRNetForm(net, spec.width, spec.height).eval()
    names = [o.name for o in description.outputs]
    return build_from_torch(form, lambda x: split(net(x)), names, description.input, spec)
