"""Signal-to-noise of every layer: the float network and the INT8 network on the same input, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.quantize.observe import Probe
from quant.quantize.rules import MOVES
from quant.tflite.records import Model, Tensor

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNoise:
    """One layer's output.

    Attributes
    ----------
    name : str
        Name of the tensor, shortened to what tells it apart.
    operation : str
    snr_db : float
        Mean over channels of 10 log10(signal / noise), noise being what all layers so far have added. The mean over
        channels, not the ratio of total energies: one outlier channel carries nearly all energy and would hide what
        the others lose.
    """

    name: str
    operation: str
    snr_db: float


def layer_noise(real: Model, quantized: Model, inputs: Iterable[Map]) -> list[LayerNoise]:
    """Return the noise of each operation's output in execution order.

    Operations that move values add no noise of their own and are left out.

    Parameters
    ----------
    real, quantized : Model
        The same network; tensors are matched by name.
    inputs : iterable of ndarray, (1, H, W, 3) float32
        Normalised; a few images are enough.
    """
    numbers = {t.name for op in real.operators for t in op.outputs if t.dtype == np.float32}
    known = _computed(real).keys() & numbers  # comparisons and places have no noise
    shared = {name: op for name, op in _computed(quantized).items() if name in known}
    probes = [Probe(model, _named(model, shared)) for model in (real, quantized)]
    signal: dict[str, Map] = {}
    noise: dict[str, Map] = {}
    for image in inputs:
        values = [{tensor.name: value for tensor, value in probe.run(image)} for probe in probes]
        for name in shared:
            a, b = (value[name] for value in values)
            axes = tuple(range(a.ndim - 1))
            signal[name] = signal.get(name, 0) + np.square(a).sum(axis=axes)
            noise[name] = noise.get(name, 0) + np.square(a - b).sum(axis=axes)
    return [
        LayerNoise(name=_short(n), operation=op, snr_db=_mean_db(signal[n], noise[n]))
        for n, op in shared.items()
    ]


def _computed(model: Model) -> dict[str, str]:
    """The operation behind each computed tensor, by the tensor's name."""
    return {t.name: op.name for op in model.operators if op.name not in MOVES for t in op.outputs if t.shape}


def _named(model: Model, names: Iterable[str]) -> list[Tensor]:
    tensors = {t.name: t for op in model.operators for t in op.outputs}
    return [tensors[name] for name in names]


def _mean_db(signal: Map, noise: Map) -> float:
    """Mean over the channels that carry any signal; noise is floored at 1e-10 of it (100 dB)."""
    alive = signal > 0
    if not alive.any():
        return 0.0
    ratio = signal[alive] / np.maximum(noise[alive], 1e-10 * signal[alive])
    return float(10 * np.log10(np.maximum(ratio, 1e-3)).mean())


def _short(name: str) -> str:
    """``model/tf.nn.relu_3/Relu;model/...`` -> ``relu_3``; the operations that were fused into it follow the first."""
    first = name.replace("compat.v1.", "").split(";")[0].split("/")
    return (
        first[-2].removeprefix("tf.nn.").removeprefix("tf.math.").removeprefix("tf.")
        if len(first) > 1
        else first[0]
    )
