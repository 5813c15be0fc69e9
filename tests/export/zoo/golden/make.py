"""Write ``networks.json``: what the networks of the zoo compute with weights of our own.

``python -m tests.export.zoo.golden.make`` first compares each network with the outputs of the official code, which are
in ``../shared``, and writes nothing unless all agree. A clone without those fixtures still notices a changed network.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

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


def keys_digest(net: nn.Module) -> str:
    """Return the SHA-256 of a network's keys and shapes, in their order."""
    lines = [f"{key} {list(value.shape)}" for key, value in net.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def outputs_of(variant: str) -> list[NDArray[np.float32]]:
    """Return the outputs of one network with seeded weights on a seeded input."""
    net = VARIANTS[variant]().eval()
    net.load_state_dict(seeded_state(variant))
    image = np.random.default_rng(0).normal(0, 1, (1, 3, *SIZE)).astype(np.float32)
    with torch.inference_mode():
        outputs = net(torch.from_numpy(image))
    return [value.numpy() for value in (outputs if isinstance(outputs, tuple) else (outputs,))]


def described(variant: str) -> dict[str, object]:
    """Return what is kept of one network: a digest of keys and shapes, and of outputs norm and samples."""
    with torch.device("meta"):
        keys = keys_digest(VARIANTS[variant]())
    outputs = []
    for value in outputs_of(variant) if variant in COMPUTED else ():
        places = np.linspace(0, value.size - 1, SAMPLES).astype(int)
        samples = [float(f"{v:.6g}") for v in value.ravel()[places]]
        norm = float(f"{np.linalg.norm(value.astype(np.float64)):.7g}")
        outputs.append({"shape": list(value.shape), "norm": norm, "samples": samples})
    return {"keys": keys, "outputs": outputs}


def main() -> None:
    """Compare with the official code, then write."""
    from tests.export.zoo.test_networks import (
        test_keys_shapes_and_their_order_are_the_official_ones as compare_keys,
    )
    from tests.export.zoo.test_networks import test_outputs_agree_with_the_official_ones as compare_outputs

    shared = Path(__file__).resolve().parents[5] / "shared"
    for variant in VARIANTS:
        compare_keys(shared, variant)
        if not variant.endswith("-mpii"):
            compare_outputs(shared, variant)
    found = {variant: described(variant) for variant in VARIANTS}
    PATH.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{PATH}: {len(found)} networks, all equal to the official code")


if __name__ == "__main__":
    main()
