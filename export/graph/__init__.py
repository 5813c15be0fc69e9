"""A network as an ONNX graph, on its way to TFLite."""
