"""Facts about the machine: board, processors, memory, governors, groups.

Every function reads /proc and /sys below `root` and returns an empty result where they lack the fact.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

ROOT = Path("/")


def memory(root: Path = ROOT) -> tuple[float, float]:
    """Return the current and the peak resident memory of this process in MB (10^6 bytes); zeros if unknown."""
    status = _read(root / "proc/self/status")
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s*(\d+) kB", status, re.MULTILINE))
    return int(found.get("VmRSS", 0)) * 1024 / 1e6, int(found.get("VmHWM", 0)) * 1024 / 1e6


def governors(root: Path = ROOT) -> tuple[str, ...]:
    """Return the distinct frequency governors of the processors."""
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return tuple(sorted({text for f in files if (text := _read(f).strip())}))


def virtual_memory(root: Path = ROOT) -> float:
    """Return the virtual memory of this process in MB (10^6 bytes); 0 if unknown."""
    match = re.search(r"^VmSize:\s*(\d+) kB", _read(root / "proc/self/status"), re.MULTILINE)
    return int(match[1]) * 1024 / 1e6 if match else 0.0


def started_s_after_boot(root: Path = ROOT) -> float | None:
    """Return the start of this process in seconds after boot; None if unknown. Source: proc(5), field 22."""
    fields = _read(root / "proc/self/stat").rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else None


def total_memory_mb(root: Path = ROOT) -> float:
    """Return the machine's memory in MB (10^6 bytes); 0 if unknown."""
    match = re.search(r"^MemTotal:\s*(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 / 1e6 if match else 0.0


def clock_mhz(what: str = "scaling_cur_freq", root: Path = ROOT) -> float | None:
    """Return the first processor's clock in MHz, or with ``scaling_max_freq`` its maximum; None if unknown."""
    text = _read(root / "sys/devices/system/cpu/cpu0/cpufreq" / what).strip()
    return int(text) / 1000 if text.isdigit() else None


def board(root: Path = ROOT) -> str:
    """Return the board's name from the device tree, as in ``Raspberry Pi 4 Model B Rev 1.4``; "" without one."""
    return _read(root / "proc/device-tree/model").rstrip("\0\n")


def operating_system(root: Path = ROOT) -> str:
    """Return the system's name and version, as in ``Debian GNU/Linux 13 (trixie)``."""
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release"), re.MULTILINE)
    return match[1] if match else ""


def groups() -> tuple[str, ...]:
    """Return the names of this process's groups; the number of a group without a name."""
    import grp

    names = []
    for number in sorted({os.getegid(), *os.getgroups()}):
        try:
            names.append(grp.getgrgid(number).gr_name)
        except KeyError:
            names.append(str(number))
    return tuple(names)


def cameras(root: Path = ROOT) -> tuple[str, ...]:
    """Return the video devices, as in ``video0: HD Webcam``, without the Pi's own codecs and ISP."""
    found = []
    for device in sorted(
        (root / "sys/class/video4linux").glob("video*"), key=lambda p: (len(p.name), p.name)
    ):
        name = _read(device / "name").strip()
        if name and not re.match(r"bcm2835-(codec|isp)|rpivid|rpi-hevc-dec|pispbe|rp1-cfe", name):
            found.append(f"{device.name}: {name}")
    return tuple(found)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes().decode(errors="replace")
    return ""
