"""Write ``networks.json``: what the networks of the zoo are, and what they compute with weights of our own.

``python -m tests.export.zoo.golden.make`` first compares each network with the official code's keys, parameters,
multiply-adds and outputs, which are in ``../shared``, and writes nothing unless all agree. A clone without those
fixtures still notices a changed network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.macs import count_macs, count_parameters
from export.zoo.lw_openpose.module import LwOpenPose
from tests.export.official import VARIANTS, seeded_state

PATH = Path(__file__).with_name("networks.json")
SIZE = (64, 96)  # height and width of the input
SAMPLES = 8  # values that are kept of each output
# Keys are kept of all networks, outputs of one or two for each piece of their code: the large ones take minutes.
COMPUTED = (
    "hwl",
    "hwl-hsigmoid-half",
    "lpn-50",
    "efficienthrnet-h4",
    "efficienthrnet-h4-ae2",
    "efficienthrnet-h3",
)


# Lightweight OpenPose with one refinement stage and with three.
LW_OPENPOSE = {"lw-openpose": 1, "lw-openpose-3refine": 3}
NETWORKS = (*VARIANTS, *LW_OPENPOSE)
CROPS = ((256, 192), (384, 288))  # height and width
WHOLE = {"lw-openpose": (256, 456)} | {f"efficienthrnet-h{i}": (512 - 32 * i,) * 2 for i in range(5)}


def sizes_of(name: str) -> list[tuple[int, ...]]:
    """Return heights and widths at which multiply-adds are counted: the smallest, and those of the papers."""
    if name.startswith(("hwl", "lpn")):
        return [SIZE, *CROPS]
    return [SIZE, WHOLE[name.removesuffix("-ae2").removesuffix("-3refine")]]


def on_meta(name: str) -> nn.Module:
    """Return a network without values."""
    with torch.device("meta"):
        return LwOpenPose("osokin", LW_OPENPOSE[name]) if name in LW_OPENPOSE else VARIANTS[name]()


def keys_digest(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return the SHA-256 of a network's keys and shapes, in their order."""
    lines = [f"{key} {list(shape)}" for key, shape in shapes.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def outputs_of(variant: str) -> list[NDArray[np.float32]]:
    """Return the outputs of one network with seeded weights on a seeded input."""
    net = VARIANTS[variant]().eval()
    net.load_state_dict(seeded_state(variant))
    image = np.random.default_rng(0).normal(0, 1, (1, 3, *SIZE)).astype(np.float32)
    with torch.inference_mode():
        outputs = net(torch.from_numpy(image))
    return [value.numpy() for value in (outputs if isinstance(outputs, tuple) else (outputs,))]


def facts_of(name: str) -> dict[str, object]:
    """Return a digest of keys and shapes, the parameters in all and of each child, and multiply-adds by input size."""
    net = on_meta(name)
    children = {child: count_parameters(module) for child, module in net.named_children()}
    return {
        "keys": keys_digest({key: value.shape for key, value in net.state_dict().items()}),
        "parameters": count_parameters(net),
        "children": {child: count for child, count in children.items() if count},
        "macs": {f"{height}x{width}": count_macs(net, width, height) for height, width in sizes_of(name)},
    }


def described(variant: str) -> dict[str, object]:
    """Return what is kept of one network: its facts, and of its outputs norm and samples."""
    outputs = []
    for value in outputs_of(variant) if variant in COMPUTED else ():
        places = np.linspace(0, value.size - 1, SAMPLES).astype(int)
        samples = [float(f"{v:.6g}") for v in value.ravel()[places]]
        norm = float(f"{np.linalg.norm(value.astype(np.float64)):.7g}")
        outputs.append({"shape": list(value.shape), "norm": norm, "samples": samples})
    return {**facts_of(variant), "outputs": outputs}


def main() -> None:
    """Compare with the official code, then write."""
    from tests.export.zoo.test_networks import compare_facts
    from tests.export.zoo.test_networks import test_outputs_agree_with_the_official_ones as compare_outputs

    shared = Path(__file__).resolve().parents[5] / "shared"
    found = {name: described(name) for name in NETWORKS}
    for name in NETWORKS:
        compare_facts(shared, name, found[name])
    for variant in VARIANTS:
        if not variant.endswith("-mpii"):
            compare_outputs(shared, variant)
    PATH.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{PATH}: {len(found)} networks, all equal to the official code")


if __name__ == "__main__":
    main()
