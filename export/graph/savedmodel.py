"""The ONNX graph to a TensorFlow SavedModel, by onnx2tf's fast path, offline, with named outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx2tf
import onnx2tf.onnx2tf as implementation
import tensorflow as tf
import tf_keras

from export.graph.graph import OnnxGraph
from rpi_runtime.errors import ParityError


def _no_download() -> np.ndarray[Any, Any]:
    """Stand in for onnx2tf's sample images, which it fetches from the network even for a float conversion."""
    return np.zeros((20, 128, 128, 3), np.float32)


def to_savedmodel(graph: OnnxGraph, folder: Path) -> Path:
    """Convert and save.

    onnx2tf is given a copy, since it rewrites its input, and asked for the Keras model only: saving that from a
    function of named outputs takes a second where Keras' own serialisation takes half a minute.

    Parameters
    ----------
    graph : OnnxGraph
    folder : path
        For intermediate files; must exist.

    Returns
    -------
    Path
        A SavedModel whose ``serving_default`` takes ``image`` (1, H, W, 3) and returns the graph's outputs by name.
    """
    # layer names count upwards within a process; a file may not depend on what was converted before it
    tf_keras.backend.clear_session()
    source, target = folder / "network.onnx", folder / "savedmodel"
    onnx.save(_with_shapes(graph.model), str(source))
    download = implementation.download_test_image_data
    implementation.download_test_image_data = _no_download
    try:
        keras = onnx2tf.convert(
            input_onnx_file_path=str(source),
            output_folder_path=str(folder / "onnx2tf"),
            not_use_onnxsim=True,
            not_use_opname_auto_generate=True,
            disable_model_save=True,
            non_verbose=True,
        )
    except (SystemExit, Exception) as err:  # onnx2tf leaves the process on an operation that it does not know
        raise ParityError(
            f"onnx2tf cannot convert this ONNX graph ({type(err).__name__}); run again with --verbose to see why"
        ) from err
    finally:
        implementation.download_test_image_data = download
        # it also seeds and silences globally; undo what would outlive the call
        tf.get_logger().setLevel("ERROR")
    _save(keras, graph.outputs, target)
    return target


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that says the shapes of what transposed convolutions read.

    onnx2tf needs those. More of them would make it guess at layouts, wrongly for sums of interleaved maps.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    known = {v.name for v in model.graph.value_info}
    missing = {n.input[0] for n in model.graph.node if n.op_type == "ConvTranspose"} - known
    if missing:
        inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
        result.graph.value_info.extend(v for v in inferred if v.name in missing)
    return result


def _save(keras: Any, names: list[str], target: Path) -> None:
    layers = list(keras.output_names)
    if sorted(layers) != sorted(names):
        raise ParityError(f"onnx2tf gave outputs {layers}, the graph has {names}")

    # called by closure: as an attribute, Keras would serialise the model layer by layer
    @tf.function(input_signature=[tf.TensorSpec(keras.inputs[0].shape, tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> Any:
        values = keras(image)
        return dict(zip(layers, [values] if len(layers) == 1 else values, strict=True))

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(target), signatures={"serving_default": serve})
