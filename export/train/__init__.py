"""Training of pose networks: pictures and labels in, weights that export.tflite takes out."""
