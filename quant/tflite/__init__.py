"""Read, edit and write a .tflite as plain records."""
