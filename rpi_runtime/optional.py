"""Optional packages: imported where they are used, with the command that installs them."""

from __future__ import annotations

import importlib
from typing import Any

from rpi_runtime.errors import DependencyError, first_line
from rpi_runtime.installing import pip_line

PACKAGES = {
    "cv2": "opencv-python-headless>=4.8",
    "PIL": "pillow>=10.1",
    "aiohttp": "aiohttp>=3.11",
    "paho": "paho-mqtt>=2.1",
}
_APT = {"picamera2": "sudo apt install python3-picamera2   (and make the venv with --system-site-packages)"}


def install_remedy(root: str) -> str:
    """Return the command that installs a package for this interpreter, by the name that is imported."""
    return _APT.get(root) or pip_line(PACKAGES[root])


def load(module: str, purpose: str) -> Any:
    """Import and return a package.

    Parameters
    ----------
    module : str
        A key of `PACKAGES` or picamera2, or a submodule of one.
    purpose : str
        Start of the message, as in ``video files``.

    Raises
    ------
    DependencyError
        The package is not installed, or does not load.
    """
    root = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        raise DependencyError(
            f"{purpose} need {root}, which is not installed", remedy=install_remedy(root)
        ) from err
    except Exception as err:  # a binary package built for another NumPy or libcamera may raise anything
        raise DependencyError(
            f"{purpose} need {root}, which is installed but does not load ({first_line(err)})",
            remedy=install_remedy(root),
        ) from err
