"""A .tflite as plain records: read, edit, write."""
