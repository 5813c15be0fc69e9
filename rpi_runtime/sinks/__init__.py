"""Where poses go: JSON lines, video, a window, nowhere."""
