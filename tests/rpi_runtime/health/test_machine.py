"""Reading /proc and /sys, from trees like those of real machines."""

from __future__ import annotations

from pathlib import Path

from rpi_runtime.health import machine


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_an_empty_tree_says_nothing(tmp_path):
    assert machine.memory(tmp_path) == (0, 0)
    assert machine.governors(tmp_path) == ()
    assert machine.board(tmp_path) == ""
    assert machine.operating_system(tmp_path) == ""
    assert machine.cameras(tmp_path) == ()


def test_a_pi_4(tmp_path):
    cpu = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
    root = write(
        tmp_path,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/self/status": "VmPeak:\t 300 kB\nVmHWM:\t 2000 kB\nVmRSS:\t 1000 kB\n",
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
            cpu.format(0): "ondemand\n",
            cpu.format(1): "ondemand\n",
            "sys/class/video4linux/video0/name": "unicam-image\n",
            "sys/class/video4linux/video10/name": "bcm2835-codec-decode\n",
            "sys/class/video4linux/video2/name": "HD Webcam\n",
        },
    )
    assert machine.board(root) == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine.operating_system(root) == "Debian GNU/Linux 13 (trixie)"
    assert machine.governors(root) == ("ondemand",)
    assert machine.memory(root) == (1.024, 2.048)
    assert machine.cameras(root) == ("video0: unicam-image", "video2: HD Webcam")


def test_this_machine_has_memory_and_groups():
    now, most = machine.memory()
    assert 0 < now <= most
    assert machine.groups()
