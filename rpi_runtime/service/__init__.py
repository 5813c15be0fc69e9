"""The runtime as a systemd service: ``install``, ``uninstall``, and ``run``, which the unit calls."""
