"""The live page: the picture, the people on it and the machine's state, in a browser."""
