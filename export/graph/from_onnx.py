"""Convert an ONNX graph to a float model: tidy, convert, simplify, and compare with the file that the user gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime

from cython_ext.specs import Floats
from export.graph.cheapest import convert_cheapest
from export.graph.convert.layout import Order, Shape, usual_order
from export.graph.float_model import FloatModel, sample_images
from export.graph.locate import first_difference
from export.graph.parity import TOLERANCE, Outputs, Parity, compare
from export.graph.simplify.passes import simplify
from export.graph.tidy.plain import PlainGraph, tidy
from quant.tflite.run import run_model
from rpi_runtime.errors import InputError, ParityError
from rpi_runtime.model.card import InputSpec

TensorLayout = Callable[[str, Shape], Order]
HALF = 2e-2  # error of 11 bits of mantissa through some 30 layers, which the file has and the float model does not
# A network may amplify the rounding of float32 beyond the usual tolerance: what ONNX Runtime's own optimizations change
# shows by how much. A layout or an operator that is wrong is far beyond the most that is allowed then.
ROUNDINGS, MOST = 8, 2e-3
LEVELS = ("ORT_ENABLE_BASIC", "ORT_ENABLE_ALL")


def channels_last(name: str, shape: Shape) -> Order:
    """Return the order of axes of an output that is a map, (1, C, H, W)."""
    return usual_order(len(shape))


def from_onnx(
    model: onnx.ModelProto,
    path: str,
    spec: InputSpec,
    outputs: Sequence[str],
    layout: TensorLayout = channels_last,
) -> FloatModel:
    """Convert a model, changing it in place.

    Parameters
    ----------
    model : onnx.ModelProto
        From `export.graph.tidy.read.read_onnx`.
    path : str
        Name of the file in messages.
    spec : InputSpec
        Input size, and the normalisation that the graph itself expects.
    outputs : sequence of str
        Names of the values at which the graph ends.
    layout : callable
        Takes the name and ONNX shape of an output; returns the order of its axes in the .tflite.

    Raises
    ------
    InputError
        The file cannot be converted.
    ParityError
        An operator cannot be converted, or the result computes something else than the file.
    """
    graph = tidy(model, spec.width, spec.height, outputs, path)
    if graph.whole and (any(spec.mean) or any(scale != 1 for scale in spec.scale)):
        raise InputError(
            f"{path}: its image has whole numbers, 0 to 255; the card says mean {list(spec.mean)} and scale "
            f"{list(spec.scale)}, expected mean [0, 0, 0] and scale [1, 1, 1]: correct the card"
        )
    orders = {name: layout(name, graph.shapes[name]) for name in outputs}
    result, meeting = convert_cheapest(graph, orders)
    done = simplify(result)
    parities: list[Parity] = []
    for image in sample_images(spec):
        expected = _arranged(run_graph(graph, image), orders)
        found = {name: np.asarray(value, np.float32) for name, value in run_model(result, image).items()}
        try:
            parities = _compared(graph, image, expected, found, orders)
        except ParityError as err:
            where = first_difference(graph, image, meeting)
            raise ParityError(f"{path}: {err}" + (f" (first at {where})" if where else "")) from err
    return FloatModel(
        model=result, parities=tuple(parities), notes=tuple(f"{count} {what}" for what, count in done.items())
    )


def _compared(
    graph: PlainGraph, image: Floats, expected: Outputs, found: Outputs, orders: Mapping[str, Order]
) -> list[Parity]:
    """Compare with the file; where that fails, with the rounding that ONNX Runtime itself shows."""
    step, tolerance = "onnx -> tflite", HALF if graph.half else TOLERANCE
    try:
        return compare(step, expected, found, tolerance)
    except ParityError:
        allowed = min(ROUNDINGS * _rounding(graph, image, expected, orders), MOST)
        if not allowed > tolerance:
            raise
        return compare(step, expected, found, allowed)


def _rounding(graph: PlainGraph, image: Floats, expected: Outputs, orders: Mapping[str, Order]) -> float:
    """Return how much ONNX Runtime's optimizations change the outputs, relative to their largest values."""
    worst = 0.0
    for level in LEVELS:
        for name, value in _arranged(run_graph(graph, image, level), orders).items():
            largest = max(float(np.abs(expected[name]).max()), 1e-12)
            worst = max(worst, float(np.abs(value - expected[name]).max()) / largest)
    return worst


def run_graph(graph: PlainGraph, image: Floats, level: str = "ORT_DISABLE_ALL") -> dict[str, Floats]:
    """Run the user's graph in ONNX Runtime on one (1, H, W, 3) image; return the outputs by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(
        graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (entry,) = session.get_inputs()
    dtype = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(entry.type, np.float32)
    values = session.run(list(graph.outputs), {entry.name: image.transpose(0, 3, 1, 2).astype(dtype)})
    return {name: np.asarray(value, np.float32) for name, value in zip(graph.outputs, values, strict=True)}


def _arranged(values: Mapping[str, Floats], orders: Mapping[str, Order]) -> dict[str, Floats]:
    return {name: value.transpose(orders[name]) for name, value in values.items()}
