"""The network architectures, one file each."""
