"""Why a node cannot be converted."""

from __future__ import annotations


class RefusalError(Exception):
    """Raised by a converter of one operator; `convert` adds the operator's and the tensor's name."""
