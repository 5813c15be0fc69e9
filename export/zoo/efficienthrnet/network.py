"""EfficientHRNet as an entry of the zoo: weights in, ONNX graph and card out."""

from __future__ import annotations

from export.graph.from_torch import build_from_torch
from export.graph.graph import OnnxGraph
from export.graph.normalisation import IMAGENET_MEAN, IMAGENET_SCALE, plain_input
from export.graph.parity import Parity
from export.weights.find import find_weights, load_state, provenance
from export.zoo.efficienthrnet.form import EfficientHRNetForm, split
from export.zoo.efficienthrnet.module import JOINTS, SCALES, STEP, STRIDES, EfficientHRNet, Name
from export.zoo.network import Network
from export.zoo.skeletons import COCO_17, COCO_17_FLIP_PAIRS, TAG_JOINT_ORDER
from quant.progress import Progress
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec
from rpi_runtime.model.decoders import TagDecoder

# the thresholds of the repository's configurations are the card's defaults
DECODER = TagDecoder(joint_order=TAG_JOINT_ORDER, flip_pairs=COCO_17_FLIP_PAIRS)


def efficienthrnet(name: Name, source: str, progress: Progress) -> Network:
    """Read weights, with either width of the second head, and return the network."""
    weights = find_weights(source, {}, progress)
    second = weights.state.get("final_layers.1.weight")
    twice = second is not None and second.shape[0] == 2 * JOINTS
    net = EfficientHRNet(name, tags_twice=twice)
    load_state(net, weights.state, weights.source)
    normalisation = InputSpec(
        width=SCALES[name].size, height=SCALES[name].size, channels="rgb",
        mean=IMAGENET_MEAN, scale=IMAGENET_SCALE, pad_value=0,
    )  # fmt: skip
    card = ModelCard(
        name=f"efficienthrnet-{name.replace('-', '')}",
        input=plain_input(normalisation),
        skeleton=COCO_17,
        outputs=_outputs(twice=twice),
        decoder=DECODER,
        provenance=provenance(weights, "ae2" if twice else "ae1"),
    )
    return Network(
        card=card,
        build=lambda spec: _build(net, normalisation, spec, [o.name for o in card.outputs]),
        step=STEP,
        notes=(f"tags at {'both strides' if twice else 'stride 4 only'}",),
    )


def _outputs(*, twice: bool) -> tuple[OutputSpec, ...]:
    """Heatmaps and tags by stride, in the form's order."""
    coarse, fine = STRIDES
    parts = [("heatmaps", coarse), ("tags", coarse), ("heatmaps", fine), ("tags", fine)]
    return tuple(
        OutputSpec(name=f"{role}_{stride}", role=role, channels=JOINTS, stride=stride)  # type: ignore[arg-type]
        for role, stride in parts[: 4 if twice else 3]
    )


def _build(
    net: EfficientHRNet, normalisation: InputSpec, spec: InputSpec, names: list[str]
) -> tuple[OnnxGraph, list[Parity]]:
    form = EfficientHRNetForm(net, spec.width, spec.height).eval()
    return build_from_torch(form, lambda x: split(net(x)), names, normalisation, spec)
