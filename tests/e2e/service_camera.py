"""The hardened service and a camera that is unplugged: ``python -m tests.e2e.service_camera``.

A container has no cameras, and shows neither the memory nor the device controller. So this boots a whole Debian
with its own kernel under qemu, without hardware acceleration, with the kernel's virtual camera (vivid): the
service must open it through the unit's device list and as its own user, survive that it vanishes for ten
seconds without a restart, stop in time, and be limited in memory. Frame rates mean nothing here.

Needs root, mmdebstrap, mke2fs, qemu-system-x86_64, a Debian mirror, PyPI and a Python 3.13. Where one is missing
it says which, and exits with 77. Takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rpi_runtime.service.unit import TEMPLATE
from tests.e2e.checkout import find_python
from tests.e2e.commands import need, run, skip
from tests.e2e.container import end_on_sigterm, make_root
from tests.e2e.service import ENVIRONMENT, HOME, SUITES, make_environment
from tests.rpi_runtime.toys import write_toy

SUITE = "trixie"
PACKAGES = ("systemd-sysv", "udev", "linux-image-amd64", "initramfs-tools")
BOOT_S = 900
STOP_S = 2.0
SCRIPT = f"""#!/bin/bash
say() {{ echo "RESULT $1=$2"; }}
show() {{ systemctl show --value --property="$1" pipose; }}
back() {{
  for i in $(seq 240); do
    case "$(show StatusText)" in *"frames per second"*) return;; esac
    sleep 0.5
  done
}}
now() {{ cut -d' ' -f1 /proc/uptime; }}
modprobe vivid n_devs=1 node_types=0x1
udevadm settle
mkdir -p /etc/systemd/system/pipose.service.d
printf '[Service]\\nTimeoutStartSec=300\\n' > /etc/systemd/system/pipose.service.d/emulated.conf
source=camera:/dev/video0,width=320,height=180,fourcc=YUYV,open_s=60
"/{ENVIRONMENT}/bin/python" -m rpi_runtime service install --model /{HOME}/toy.tflite --source $source
say state "$(show ActiveState)"
say status "$(show StatusText)"
say device "$(stat --format='%U:%G %a' /dev/video0)"
say memory "$(cat /sys/fs/cgroup/system.slice/pipose.service/memory.max)"
say used "$(cat /sys/fs/cgroup/system.slice/pipose.service/memory.peak)"
say poses "$(head -c 60 /run/pipose/poses.jsonl)"
say pid "$(show MainPID)"
echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
sleep 10
say unplugged "$(show StatusText)"
echo vivid.0 > /sys/bus/platform/drivers/vivid/bind
plugged=$(now); back; say back "$(echo "$(now) $plugged" | awk '{{print $1 - $2}}')"
say again "$(show StatusText)"
say pid_after "$(show MainPID)"
say restarts "$(show NRestarts)"
begin=$(now); systemctl stop pipose; say stop "$(echo "$(now) $begin" | awk '{{print $1 - $2}}')"
say result "$(show Result)"
journalctl --unit=pipose --output=short-monotonic --no-pager
systemctl poweroff
"""
UNIT = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/local/bin/camera
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
"""


def prepare(folder: Path) -> Path:
    """Make the root with a kernel, the runtime with OpenCV, and the script that runs at boot."""
    root = folder / "root"
    environment = make_environment(SUITES[SUITE], folder, "opencv-python-headless")
    make_root(SUITE, root, *PACKAGES)
    (root / HOME).mkdir(mode=0o700, parents=True)
    shutil.move(environment, root / ENVIRONMENT)
    write_toy(root / HOME / "toy.tflite")
    (root / "usr/local/bin/camera").write_text(SCRIPT)
    (root / "usr/local/bin/camera").chmod(0o755)
    (root / "etc/systemd/system/camera.service").write_text(UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "camera.service").symlink_to("../camera.service")
    return root


def boot(root: Path, folder: Path) -> str:
    """Boot the root until it switches itself off; what it printed."""
    disk, console = folder / "disk.img", folder / "console"
    run("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "2G")
    (kernel,), (initrd,) = (list((root / "boot").glob(p)) for p in ("vmlinuz-*", "initrd.img-*"))
    words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"]
    words += ["-kernel", kernel, "-initrd", initrd, "-no-reboot", "-display", "none", "-net", "none"]
    words += ["-append", "root=/dev/vda rw console=ttyS0 quiet systemd.mask=serial-getty@ttyS0.service"]
    words += ["-drive", f"file={disk},format=raw,if=virtio", "-serial", f"file:{console}"]
    try:
        run(*words, timeout=BOOT_S)
    except subprocess.TimeoutExpired:
        print(f"it was not done within {BOOT_S} s", file=sys.stderr)
    return console.read_text(errors="replace")


def check(printed: str) -> None:
    """Compare what was found with what must be."""
    found = dict(re.findall(r"^RESULT (\w+)=(.*?)\r?$", printed, re.MULTILINE))
    for key, value in found.items():
        print(f"  {key:10} {value}")
    (limit,) = re.findall(r"MemoryMax=(\d+)M", TEMPLATE)
    assert (found["state"], found["result"], found["restarts"]) == ("active", "success", "0"), printed[-6000:]
    assert found["device"] == "root:video 660" and found["poses"].startswith('{"version"')
    assert int(found["memory"]) == int(limit) * 2**20 > 2 * int(found["used"])
    assert "lost" in found["unplugged"] and "frames per second" in found["again"]
    assert found["pid"] == found["pid_after"] != "0"
    assert float(found["stop"]) <= STOP_S


def main() -> None:
    """Make it, boot it, check it, remove it."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if os.geteuid() != 0:
        skip("needs root, to make a root")
    need("mmdebstrap", "mke2fs", "qemu-system-x86_64")
    if find_python(SUITES[SUITE]) is None:
        skip(f"no Python {SUITES[SUITE]} with pip to build the wheel with")
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="pipose-camera-") as name:
        check(boot(prepare(Path(name)), Path(name)))
    print("the camera was opened, lost for 10 s and opened again by the same process")


if __name__ == "__main__":
    main()
