"""The command lines, one module each; `parser` has the options that they share."""
