"""Small ONNX graphs written node by node, and their comparison with ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from export.graph.convert.layout import usual_order
from export.graph.convert.network import convert
from export.graph.convert.scope import Scope
from export.graph.simplify.passes import simplify
from export.graph.tidy.plain import PlainGraph, tidy
from quant.tflite.records import Model
from quant.tflite.write import write_model

TOLERANCE = 1e-5  # of an output's largest value: float32 summed in another order


class Graph:
    """A graph that grows: nodes and constants, values called by number."""

    def __init__(self, opset: int = 17, size: tuple[int, int] = (12, 10), seed: int = 0) -> None:
        self.opset, self.size = opset, size
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.domains: list[Any] = []

    def const(self, value: Any, dtype: Any = None) -> str:
        array = np.asarray(value, dtype)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.const((self.random.normal(size=shape) * scale).astype(np.float32))

    def positive(self, *shape: int) -> str:
        return self.const(self.random.uniform(0.5, 1.5, shape).astype(np.float32))

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"v{len(self.nodes)}" if i == 0 else f"v{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, list(inputs), names, name=f"{kind}_{len(self.nodes)}", **attributes)
        )
        return names[0] if outputs == 1 else names

    def map(self, channels: int = 8, source: str = "image") -> str:
        """A map of that many channels, negative and positive."""
        inputs = 3 if source == "image" else channels
        return str(
            self.add(
                "Conv",
                source,
                self.normal(channels, inputs, 1, 1),
                self.normal(channels),
                kernel_shape=[1, 1],
            )
        )

    def model(self, *outputs: str) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, *self.size])
        ends = [onnx.ValueInfoProto(name=o) for o in outputs]
        graph = helper.make_graph(self.nodes, "graph", [image], ends, self.constants)
        imports = [helper.make_opsetid("", self.opset), *self.domains]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def plain(model: onnx.ModelProto, size: tuple[int, int]) -> PlainGraph:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return tidy(copy, size[1], size[0], [o.name for o in model.graph.output], "test.onnx")


def converted(graph: PlainGraph, simplified: bool = True) -> Model:
    scope = Scope(graph.opset, dict(graph.constants))
    orders = {name: usual_order(len(graph.shapes[name])) for name in graph.outputs}
    model = convert(scope, graph.nodes, graph.image, graph.size, orders)
    if simplified:
        simplify(model)
    return model


def run_tflite(data: bytes, image: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """Outputs by name, and the names of the operations that were run."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    outputs = interpreter.get_signature_runner()(image=image)
    return outputs, [op["op_name"] for op in interpreter._get_ops_details()]


def run_onnx(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [o.name for o in session.get_outputs()]
    values = session.run(names, {session.get_inputs()[0].name: image.transpose(0, 3, 1, 2)})
    return dict(zip(names, values, strict=True))


def check(
    model: onnx.ModelProto, size: tuple[int, int] = (12, 10), tolerance: float = TOLERANCE
) -> Counter[str]:
    """Convert, plainly and simplified, and compare both with ONNX Runtime on the model itself; count operators."""
    graph = plain(model, size)
    image = np.random.default_rng(1).uniform(-1, 1, (1, *size, 3)).astype(np.float32)
    expected = run_onnx(model, image)
    count: Counter[str] = Counter()
    for simplified in (False, True):
        result = converted(graph, simplified)
        found, _ = run_tflite(write_model(result), image)
        for name, want in expected.items():
            want = want.transpose(usual_order(want.ndim))
            assert found[name].shape == want.shape, name
            difference = np.abs(found[name].astype(np.float64) - want).max()
            largest = max(float(np.abs(want.astype(np.float64)).max()), 1e-3)
            assert difference <= tolerance * largest, (
                f"{name}: {difference / largest:.2e} (simplified: {simplified})"
            )
        count = result.count_operators()
    return count
