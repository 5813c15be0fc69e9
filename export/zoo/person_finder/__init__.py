"""The finder of the pair that comes with the package: boxes of people on a whole picture."""
