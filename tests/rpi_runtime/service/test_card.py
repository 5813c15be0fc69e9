"""A card's root, prepared on another machine: nothing outside it is touched, and its secrets are nobody's to read."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from rpi_runtime.__main__ import main
from rpi_runtime.errors import InputError
from rpi_runtime.service import systemd
from rpi_runtime.service.layout import Layout
from tests.rpi_runtime.toys import write_toy


@pytest.fixture
def model(tmp_path):
    return write_toy(tmp_path / "toy.tflite")


@pytest.fixture
def card(tmp_path, monkeypatch):
    """The root of a fresh image, without the service's user; this machine has no systemd-sysusers."""
    root = tmp_path / "card"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_bytes(
        b"root:x:0:0::/root:/bin/sh\njoerg:x:1001:1001:J\xf6rg,,,:/home/joerg:/bin/sh\n"
    )
    (root / "etc/group").write_bytes(b"video:x:44:J\xf6rg\n")
    monkeypatch.setattr("shutil.which", lambda name: None)
    return root


def install(root, model, *words):
    return main(["service", "install", "--root", str(root), "--model", str(model), *words])


def uninstall(root, *words):
    return main(["service", "uninstall", "--root", str(root), *words])


def files(root):
    return {p.relative_to(root) for p in root.rglob("*") if p.is_symlink() or not p.is_dir()}


def test_a_card_can_be_upgraded_and_taken_apart_under_another_path(tmp_path, card, model, capsys):
    before = files(card)
    assert install(card, model) == 0
    elsewhere = tmp_path / "mnt/sd card"
    elsewhere.parent.mkdir()
    shutil.move(card, elsewhere)
    capsys.readouterr()
    assert install(elsewhere, model) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert install(elsewhere, model, "--source", "camera:0") == 0
    assert "replaced" in capsys.readouterr().out
    assert uninstall(elsewhere) == 0
    assert files(elsewhere) == before


def test_a_record_of_the_former_format_is_understood(card, model):
    """It held whole paths of the machine that prepared the card."""
    before = files(card)
    install(card, model)
    record = Layout(root=card).record
    data = json.loads(record.read_bytes())
    former = {f"/media/somebody/rootfs{name}": value for name, value in data["files"].items()}
    record.write_text(json.dumps({"installed": 1, "files": former}))
    assert uninstall(card) == 0
    assert files(card) == before


@pytest.mark.parametrize("form", [1, 2])
def test_nothing_outside_the_card_is_removed(tmp_path, card, model, form, capsys):
    dear = tmp_path / "dear"
    dear.write_text("to somebody")
    install(card, model)
    record = Layout(root=card).record
    names = [
        str(dear),
        f"../{dear.name}",
        "/etc/passwd",
        f"/usr/local/share/pipose/../../../../../{dear}",
        "",
        "/",
    ]
    data = json.loads(record.read_bytes())
    digest = "0" * 64
    record.write_text(json.dumps({"installed": form, "files": data["files"] | dict.fromkeys(names, digest)}))
    assert uninstall(card, "--purge") == 0
    assert dear.read_text() == "to somebody"
    assert (card / "etc/passwd").exists()
    assert "none of ours" in capsys.readouterr().out


@pytest.mark.parametrize("absolute", [True, False])
def test_links_of_the_card_lead_into_the_card(tmp_path, card, model, absolute):
    outside = tmp_path / "outside"
    outside.mkdir()
    (card / "usr/local").mkdir(parents=True)
    depth = "../" * 30
    (card / "etc/systemd").symlink_to("/usr/lib/systemd" if absolute else "../usr/lib/systemd")
    (card / "etc/pipose").symlink_to(outside if absolute else depth + str(outside).lstrip("/"))
    (card / "usr/local/share").mkdir()
    (card / "usr/local/share/pipose").symlink_to(
        "/srv/share/pipose" if absolute else "../../../srv/share/pipose"
    )
    assert install(card, model) == 0
    assert list(outside.iterdir()) == [], "the host's folder of that name is another one"
    assert (card / "usr/lib/systemd/system/pipose.service").is_file()
    assert (card / "srv/share/pipose/toy.tflite").is_file()
    (outside / "config.toml").write_text("the host's")
    assert uninstall(card, "--purge") == 0
    assert (outside / "config.toml").read_text() == "the host's"
    assert not (card / "srv/share/pipose/toy.tflite").exists()


def test_a_state_folder_that_is_a_link_is_left_alone(tmp_path, card, model):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    install(card, model)
    (card / "var/lib").mkdir(parents=True)
    (card / "var/lib/pipose").symlink_to(home)
    assert uninstall(card, "--purge") == 0
    assert (home / "letter").exists()


def test_links_in_a_circle_are_said(card):
    (card / "etc/pipose").symlink_to("/etc/pipose")
    with pytest.raises(InputError, match="circle"):
        _ = Layout(root=card).config
    assert uninstall(card) == 3


def test_a_password_in_the_configuration_is_not_for_all_to_read(card, model, capsys):
    assert install(card, model, "--source", "rtsp://admin:S3cr3t@cam/live") == 0
    config = Layout(root=card).config
    assert "S3cr3t" in config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    printed = capsys.readouterr()
    assert "systemd-sysusers is not installed here" in printed.out
    assert "S3cr3t" not in printed.out + printed.err
    assert Layout(root=card).rights.read_text() == "z /etc/pipose/config.toml 0640 root pipose -\n"
    assert "made the user" not in printed.out, "the user could not be made here"


def test_a_dry_run_shows_no_password(card, model, capsys):
    assert install(card, model, "--source", "rtsp://admin:S3cr3t@cam/live", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "rtsp://***@cam/live" in printed
    assert "S3cr3t" not in printed


def test_the_user_database_may_hold_any_bytes(card):
    (card / "etc/passwd").write_bytes(b"\xff\xfe\nJ\xf6rg\npipose:x:999:999::/:/bin/false\n")
    (card / "etc/group").write_bytes(b"video:x:44:J\xf6rg,pipose\n\xff")
    assert systemd.has_user(Layout(root=card))


def test_the_live_system_resolves_its_own_links(tmp_path):
    assert Layout().config == Path("/etc/pipose/config.toml")
    assert Layout().live
    assert os.fspath(Layout().enabled).startswith("/etc/systemd/system/")


@pytest.mark.parametrize("kind", ["missing", "a file", "another partition"])
@pytest.mark.parametrize("action", [install, lambda root, _: uninstall(root)])
def test_a_folder_that_is_no_systems_root_is_refused(tmp_path, model, action, kind, capsys):
    """A card that is not mounted: everything was written into a new folder of that name, and said to be done."""
    root = tmp_path / "rootfs"
    if kind == "a file":
        root.write_text("")
    elif kind == "another partition":
        root.mkdir()
        (root / "config.txt").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert action(root, model) == 2
    assert "expected the root of a system" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
