"""A tidy ONNX graph to a float .tflite: one file a family of operators."""
