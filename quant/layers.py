"""Signal-to-noise of every layer: the float file and the INT8 file on the same input, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.model.interpreter import find_module

Map = NDArray[np.float32]
MOVES = ("PAD", "CONCATENATION")  # operations that add no noise


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNoise:
    """One layer's output.

    Attributes
    ----------
    name : str
        Shortened name of the tensor.
    operation : str
    snr_db : float
        Mean over channels of 10 log10(signal / noise), where noise is accumulated over all layers so far. The mean over
        channels is used instead of the ratio of total energies, because one outlier channel carries nearly all energy
        and would hide the loss of the others.
    """

    name: str
    operation: str
    snr_db: float


def layer_noise(real: Path, quantized: Path, inputs: Iterable[Map]) -> list[LayerNoise]:
    """Return the noise of each operation's output in execution order.

    Parameters
    ----------
    real, quantized : path
        .tflite files of the same network; tensors are matched by name.
    inputs : iterable of ndarray, (1, H, W, 3) float32
        Normalised. A few images are enough.
    """
    probes = [_Probe(real), _Probe(quantized)]
    shared = [n for n, op in probes[1].operations.items() if n in probes[0].operations and op not in MOVES]
    signal: dict[str, Map] = {}
    noise: dict[str, Map] = {}
    for image in inputs:
        for probe in probes:
            probe.run(image)
        for name in shared:
            a, b = (probe.value(name) for probe in probes)
            axes = tuple(range(a.ndim - 1))
            signal[name] = signal.get(name, 0) + np.square(a).sum(axis=axes)
            noise[name] = noise.get(name, 0) + np.square(a - b).sum(axis=axes)
    return [
        LayerNoise(name=_short(n), operation=probes[1].operations[n], snr_db=_mean_db(signal[n], noise[n]))
        for n in shared
    ]


def _mean_db(signal: Map, noise: Map) -> float:
    """Return the mean over the channels with a signal; noise is at least 1e-10 of it (100 dB)."""
    alive = signal > 0
    if not alive.any():
        return 0.0
    ratio = signal[alive] / np.maximum(noise[alive], 1e-10 * signal[alive])
    return float(10 * np.log10(np.maximum(ratio, 1e-3)).mean())


class _Probe:
    """Return an interpreter that keeps every intermediate tensor, unlike delegates."""

    def __init__(self, path: Path) -> None:
        _, module = find_module()
        self._interpreter = module.Interpreter(
            model_path=str(path),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=2,
        )
        self._interpreter.allocate_tensors()
        self._details = {d["name"]: d for d in self._interpreter.get_tensor_details()}
        names = {d["index"]: name for name, d in self._details.items()}
        self.operations: dict[str, str] = {}
        for op in self._interpreter._get_ops_details():
            self.operations.update((names[i], op["op_name"]) for i in op["outputs"] if i in names)

    def run(self, image: Map) -> None:
        (entry,) = self._interpreter.get_input_details()
        self._interpreter.set_tensor(entry["index"], _quantize(image, entry))
        self._interpreter.invoke()

    def value(self, name: str) -> Map:
        details = self._details[name]
        stored: Map = self._interpreter.get_tensor(details["index"])
        scale, zero = details["quantization"]
        if not scale:
            return np.asarray(stored)
        return np.asarray((stored.astype(np.float32) - zero) * np.float32(scale))


def _quantize(image: Map, entry: dict[str, Any]) -> NDArray[Any]:
    scale, zero = entry["quantization"]
    if not scale:
        return image
    return np.asarray(np.clip(np.rint(image / scale) + zero, -128, 127), np.int8)


def _short(name: str) -> str:
    """Shorten ``model/tf.nn.relu_3/Relu;model/...`` to ``relu_3``. Names of fused operations follow the first."""
    first = name.replace("compat.v1.", "").split(";")[0].split("/")
    return (
        first[-2].removeprefix("tf.nn.").removeprefix("tf.math.").removeprefix("tf.")
        if len(first) > 1
        else first[0]
    )
