"""A float .tflite that others made, as the float model that ONNX files become."""
