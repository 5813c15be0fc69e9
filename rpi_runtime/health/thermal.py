"""The processor's temperature, the firmware's throttle flags, and when to reduce the load.

Flags: bit 0 under-voltage now, 1 frequency capped now, 2 throttled now, 3 soft temperature limit now; bits 16
to 19 the same since boot. Source: Raspberry Pi documentation, `vcgencmd get_throttled`.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rpi_runtime.errors import UsageError

log = logging.getLogger(__name__)

FLAGS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_HOT = 1 << 1 | 1 << 2 | 1 << 3
_ZONES = "sys/class/thermal"
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """One reading. None stands for unknown.

    Attributes
    ----------
    celsius : float or None
    flags : int or None
        As `vcgencmd get_throttled` prints them.
    """

    celsius: float | None = None
    flags: int | None = None

    @property
    def throttled(self) -> bool:
        """Whether the firmware is throttling the processor now because of heat."""
        return bool((self.flags or 0) & _HOT)

    def describe(self) -> str:
        """Return the reading as text, as in ``71.2 C, throttled, under-voltage since boot``."""
        parts = [f"{self.celsius:.1f} C" if self.celsius is not None else "temperature unknown"]
        flags = self.flags or 0
        parts += [text for bit, text in FLAGS.items() if flags >> bit & 1]
        parts += [f"{text} since boot" for bit, text in FLAGS.items() if flags >> bit & 0x10001 == 0x10000]
        return ", ".join(parts)


def read_heat(root: Path = Path("/")) -> Heat:
    """Read the temperature from sysfs, and the flags from sysfs or else `vcgencmd`.

    Parameters
    ----------
    root : path
        Folder that holds ``sys``; for tests.
    """
    return Heat(celsius=_celsius(root), flags=_flags(root))


def _celsius(root: Path) -> float | None:
    """Return the temperature of the processor's zone if one is named so, otherwise the highest."""
    found: dict[str, float] = {}
    for zone in sorted((root / _ZONES).glob("thermal_zone*")):
        with contextlib.suppress(OSError, ValueError):
            found[(zone / "type").read_text().strip()] = int((zone / "temp").read_text()) / 1000
    return found.get("cpu-thermal", max(found.values(), default=None))


def _flags(root: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((root / _THROTTLED).read_text(), 16)
    command = shutil.which("vcgencmd")
    if command is None or root != Path("/"):
        return None
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(
            [command, "get_throttled"], capture_output=True, text=True, timeout=2, check=True
        )
        return int(done.stdout.strip().removeprefix("throttled="), 16)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatConfig:
    """When to reduce the load; the table ``[heat]`` of a configuration file.

    Attributes
    ----------
    limit_c : float
        At or above this temperature, or when the firmware throttles, go one step down; 0 disables all of this.
    resume_c : float
        At or below this temperature, go one step up.
    hold_s : float
        Minimum time between two steps, so that the temperature can follow.
    period_s : float
        Time between two readings.
    steps : int
        Number of steps down. Each takes the next smaller model or halves the frame rate.
    """

    limit_c: float = 78.0
    resume_c: float = 72.0
    hold_s: float = 20.0
    period_s: float = 2.0
    steps: int = 3

    def __post_init__(self) -> None:
        if self.limit_c and self.resume_c >= self.limit_c:
            raise UsageError(
                f"got {self.resume_c:g}, expected less than limit_c {self.limit_c:g}", key="resume_c"
            )
        if not 0 <= self.steps <= 10:
            raise UsageError(f"got {self.steps}, expected 0 to 10", key="steps")
        for name in ("hold_s", "period_s"):
            if getattr(self, name) <= 0:
                raise UsageError(f"got {getattr(self, name):g}, expected more than 0", key=name)


class HeatGovernor:
    """Decides the number of steps down from the readings so far."""

    def __init__(self, config: HeatConfig) -> None:
        self.config = config
        self.level = 0
        self._changed_at = float("-inf")

    def update(self, heat: Heat, now_s: float) -> int:
        """Take one reading, at `now_s` of a monotonic clock, and return the level: 0 is full speed."""
        hot = heat.throttled or (heat.celsius is not None and heat.celsius >= self.config.limit_c)
        cool = not heat.throttled and (heat.celsius is None or heat.celsius <= self.config.resume_c)
        step = (hot and self.level < self.config.steps) - (cool and self.level > 0)
        if step and now_s - self._changed_at >= self.config.hold_s:
            self.level += step
            self._changed_at = now_s
            what = "hot: step down" if step > 0 else "cool again: step up"
            log.warning("%s to level %d of %d (%s)", what, self.level, self.config.steps, heat.describe())
        return self.level


class HeatWatch:
    """Takes readings periodically in its own thread, so that no frame waits for them.

    Attributes
    ----------
    level : int
        Current number of steps down.
    heat : Heat
        The latest reading.
    most_level : int
        The highest level so far.
    """

    def __init__(self, config: HeatConfig, read: Callable[[], Heat] = read_heat) -> None:
        self.config, self._read = config, read
        self._governor = HeatGovernor(config)
        self.heat = Heat()
        self.level = 0
        self.most_level = 0
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipose-heat", daemon=True)

    def start(self) -> None:
        """Start the thread, unless the configuration disables it."""
        if self.config.limit_c:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread without waiting for a reading in progress."""
        self._quit.set()

    def _run(self) -> None:
        while True:
            self.heat = self._read()
            self.level = self._governor.update(self.heat, time.monotonic())
            self.most_level = max(self.most_level, self.level)
            if self._quit.wait(self.config.period_s):
                return
