"""Optional packages: imported where they are used, with the command that installs them."""

from __future__ import annotations

import importlib
from typing import Any

from rpi_runtime.errors import DependencyError, first_line

INSTALL = {
    "cv2": "pip install opencv-python-headless   (for a window on the screen: pip install opencv-python)",
    "picamera2": "sudo apt install python3-picamera2   (and make the venv with --system-site-packages)",
    "PIL": "pip install pillow",
    "aiohttp": "pip install aiohttp",
    "paho": "pip install 'paho-mqtt>=2'",
}


def load(module: str, purpose: str) -> Any:
    """Import and return a package.

    Parameters
    ----------
    module : str
        A key of `INSTALL`, or a submodule of one.
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
        raise DependencyError(f"{purpose} need {root}, which is not installed", remedy=INSTALL[root]) from err
    except Exception as err:  # a binary package built for another NumPy or libcamera may raise anything
        raise DependencyError(
            f"{purpose} need {root}, which is installed but does not load ({first_line(err)})",
            remedy=INSTALL[root],
        ) from err
