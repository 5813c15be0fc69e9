"""Which fields the tables of a .tflite have: facts of TFLite's schema, version 3
(tensorflow/compiler/mlir/lite/schema).

Kinds are those of `flatbuffer.Reader`. Tables that pose networks do not need, such as those of sparse tensors, are
left as ``*``: a file that has one is refused.
"""

from __future__ import annotations

from rpi_runtime.model.verify.flatbuffer import Layouts

LAYOUTS: Layouts = {
    "Model": (
        ("version", "I", 0),
        ("codes", "[OperatorCode]", ()),
        ("subgraphs", "[SubGraph]", ()),
        ("description", "s", ""),
        ("buffers", "[Buffer]", ()),
        ("metadata_buffer", "[i]", ()),
        ("metadata", "[Metadata]", ()),
        ("signatures", "[Signature]", ()),
        ("external_groups", "*", None),
        ("external_buffers", "*", None),
    ),
    "OperatorCode": (("deprecated", "b", 0), ("custom", "s", ""), ("version", "i", 1), ("builtin", "i", 0)),
    "SubGraph": (
        ("tensors", "[Tensor]", ()),
        ("inputs", "[i]", ()),
        ("outputs", "[i]", ()),
        ("operators", "[Operator]", ()),
        ("name", "s", ""),
    ),
    "Tensor": (
        ("shape", "[i]", ()),
        ("type", "b", 0),
        ("buffer", "I", 0),
        ("name", "s", ""),
        ("quantization", "Quantization", None),
        ("variable", "?", False),
        ("sparsity", "*", None),
        ("signature", "[i]", ()),
        ("has_rank", "?", False),
        ("variants", "*", None),
        ("external", "I", 0),
    ),
    "Quantization": (
        ("minimum", "[f]", ()),
        ("maximum", "[f]", ()),
        ("scale", "[f]", ()),
        ("zero_point", "[q]", ()),
        ("details_type", "B", 0),
        ("details", "*", None),
        ("axis", "i", 0),
    ),
    "Operator": (
        ("code", "I", 0),
        ("inputs", "[i]", ()),
        ("outputs", "[i]", ()),
        ("options_type", "B", 0),
        ("options", "*", None),
        ("custom_options", "[B]", ()),
        ("custom_format", "b", 0),
        ("mutating", "[?]", ()),
        ("intermediates", "[i]", ()),
        ("large_offset", "Q", 0),
        ("large_size", "Q", 0),
        ("options2_type", "B", 0),
        ("options2", "*", None),
    ),
    "Buffer": (("data", "[B]", ()), ("offset", "Q", 0), ("size", "Q", 0)),
    "Metadata": (("name", "s", ""), ("buffer", "I", 0)),
    "TensorMap": (("name", "s", ""), ("tensor", "I", 0)),
    "Signature": (
        ("inputs", "[TensorMap]", ()),
        ("outputs", "[TensorMap]", ()),
        ("key", "s", ""),
        ("reserved", "-", None),
        ("subgraph", "I", 0),
    ),
}
