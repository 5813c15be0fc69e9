"""Cameras that were plugged in again, and who has one open."""

from __future__ import annotations

import os

from rpi_runtime.capture.devices import Device, describe_users


def make_machine(root, **cameras):
    """Devices under root/dev, `by-id` links that lead to them."""
    links = root / "dev/v4l/by-id"
    links.mkdir(parents=True, exist_ok=True)
    for link in links.iterdir():
        link.unlink()
    for number, name in cameras.items():
        device = root / "dev" / f"video{number[-1]}"
        device.touch()
        (links / f"usb-{name}-video-index0").symlink_to(device)


def test_a_camera_is_found_at_its_new_number(tmp_path, caplog):
    make_machine(tmp_path, at0="C270_1234")
    device = Device("0", tmp_path)
    assert device.find() == tmp_path / "dev/video0"
    device.opened(device.find())
    make_machine(tmp_path, at2="C270_1234")
    assert device.find() == tmp_path / "dev/video2"
    assert "is" in caplog.text
    device.find()
    assert len(caplog.records) == 1


def test_another_camera_at_the_old_number_is_not_taken_for_it(tmp_path):
    make_machine(tmp_path, at0="C270_1234")
    device = Device("0", tmp_path)
    device.opened(device.find())
    make_machine(tmp_path, at0="Other", at1="C270_1234")
    assert device.find() == tmp_path / "dev/video1"
    make_machine(tmp_path, at0="Other")
    assert not device.find().exists()


def test_a_camera_without_an_id_stays_where_it_was(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").touch()
    device = Device("0", tmp_path)
    device.opened(device.find())
    assert device.find() == tmp_path / "dev/video0"


def test_who_has_a_device_open(tmp_path):
    path = tmp_path / "video0"
    path.touch()
    assert describe_users(path) == ""
    with path.open():
        assert describe_users(path) == f"this very process (process {os.getpid()})"
    proc = tmp_path / "proc"
    (proc / "731/fd").mkdir(parents=True)
    (proc / "731/comm").write_bytes(b"moti\xffon\n")
    (proc / "731/fd/4").symlink_to(path)
    (proc / "12").mkdir()
    assert describe_users(path, proc) == "moti�on (process 731)"
    assert describe_users(tmp_path / "none", proc) == ""
