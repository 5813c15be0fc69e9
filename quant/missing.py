"""Packages that a command of the workstation lacks: the error that names the extra which has them."""

from __future__ import annotations

import importlib

from rpi_runtime.errors import DependencyError, first_line
from rpi_runtime.installing import install_line

TRAINING = ("cv2", "torch")  # modules of the extra "train"; the others are of "export"


def missing_package(err: ModuleNotFoundError) -> DependencyError:
    """Return the error for a package that is not installed, with the command that installs it."""
    name = (err.name or str(err)).split(".")[0]
    extra = "train" if name in TRAINING else "export"
    return DependencyError(f"this needs {name}, which is not installed", remedy=install_line(extra))


def need_torch() -> None:
    """Import PyTorch; `DependencyError` where it is not installed, or is and does not load."""
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError as err:
        raise missing_package(err) from err
    except Exception as err:  # its libraries may be another machine's
        raise DependencyError(
            f"this needs torch, which is installed but does not load ({first_line(err)})",
            remedy=install_line("train"),
        ) from err
