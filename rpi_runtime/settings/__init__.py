"""The configuration of a run: file, options and their short form."""
