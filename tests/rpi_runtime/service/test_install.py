"""Installing into another root and taking it back: no root, no systemd needed."""

from __future__ import annotations

import os
import tomllib

import pytest

from rpi_runtime.__main__ import main
from rpi_runtime.service import systemd
from rpi_runtime.service.changes import Record
from rpi_runtime.service.config_text import config_text
from rpi_runtime.service.layout import Layout
from rpi_runtime.settings.default_pair import FINDER, REFINERS
from rpi_runtime.settings.run_config import load_config, source_config
from tests.rpi_runtime.toys import write_toy


@pytest.fixture
def model(tmp_path):
    return write_toy(tmp_path / "a toy.tflite")


@pytest.fixture
def layout(tmp_path, monkeypatch):
    """Another root, with the user already in it, so that no tool of the machine is called."""
    layout = Layout(root=tmp_path / "a root")
    (layout.root / "etc").mkdir(parents=True)
    (layout.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\npipose:x:999:999::/:/bin/false\n")
    (layout.root / "etc/group").write_text("video:x:44:pi,pipose\n")
    monkeypatch.setattr(systemd, "remove_user", lambda layout: (layout.root / "etc/passwd").write_text(""))
    return layout


def install(layout, model, *words, code=0):
    command = ["service", "install", "--root", str(layout.root), "--model", str(model), *words]
    assert main(command) == code


def uninstall(layout, *words):
    assert main(["service", "uninstall", "--root", str(layout.root), *words]) == 0


def tree(layout):
    """Every file and link under the root, with its content and its time."""
    return {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in layout.root.rglob("*") if not p.is_dir()}


def test_everything_is_written_for_the_other_root(layout, model, capsys):
    install(layout, model)
    config = load_config(layout.config, {})
    assert config.model == ("/usr/local/share/pipose/a toy.tflite",)
    assert (config.source.kind, config.source.retry_at_start) == ("picamera", True)
    assert (layout.models / "a toy.tflite").read_bytes() == model.read_bytes()
    assert "--config /etc/pipose/config.toml" in layout.unit.read_text()
    assert "m pipose video" in layout.user.read_text()
    assert layout.enabled.resolve() == layout.unit
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["wrote", "wrote", "wrote", "wrote", "linked"]


def test_what_refines_is_copied_and_configured(layout, model, tmp_path):
    refiner = write_toy(tmp_path / "crops.tflite")
    install(layout, model, "--refine", str(refiner))
    config = load_config(layout.config, {})
    assert config.model == ("/usr/local/share/pipose/a toy.tflite",)
    assert config.refine.model == "/usr/local/share/pipose/crops.tflite"
    assert (layout.models / "crops.tflite").is_file()


def test_without_a_model_the_exported_pair_is_installed(layout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FINDER.parent.mkdir()
    for name in (FINDER, REFINERS[0]):
        write_toy(name)
    assert main(["service", "install", "--root", str(layout.root)]) == 0
    config = load_config(layout.config, {})
    folder = "/usr/local/share/pipose"
    assert config.model == (f"{folder}/{FINDER.name}",)
    assert config.refine.model == f"{folder}/{REFINERS[0].name}"


def test_without_a_model_and_without_the_pair_it_says_how_to_get_one(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["service", "install", "--root", str(layout.root)]) == 2
    assert "python -m export.tflite --pair --int8" in capsys.readouterr().err.splitlines()[-1]


def test_the_second_time_nothing_changes(layout, model, capsys):
    install(layout, model)
    before = tree(layout)
    capsys.readouterr()
    install(layout, model)
    assert tree(layout) == before
    assert capsys.readouterr().out == "nothing to change: everything is installed\n"


def test_a_dry_run_shows_everything_and_writes_nothing(layout, model, capsys):
    before = tree(layout)
    install(layout, model, "--dry-run")
    assert tree(layout) == before
    said = capsys.readouterr().out
    assert "would write" in said and "    Type=notify" in said and '    kind = "picamera"' in said


def test_what_was_written_is_replaced_and_what_was_edited_is_kept(layout, model, capsys):
    install(layout, model)
    install(layout, model, "--source", "camera:1")
    assert load_config(layout.config, {}).source.kind == "camera"
    edited = layout.config.read_text() + "# mine\n"
    layout.config.write_text(edited)
    capsys.readouterr()
    install(layout, model, "--source", "camera:1")
    assert capsys.readouterr().out.startswith(f"kept {layout.config}: it was edited\n")
    install(layout, model, "--source", "camera:2")
    assert "; what would have been written is " in capsys.readouterr().out
    assert layout.config.read_text() == edited
    assert 'target = "2"' in layout.config.with_name("config.toml.new").read_text()


def test_a_file_of_somebody_else_is_kept(layout, model):
    layout.unit.parent.mkdir(parents=True)
    layout.unit.write_text("[Service]\nExecStart=/bin/true\n")
    install(layout, model)
    assert "/bin/true" in layout.unit.read_text()
    assert "Type=notify" in layout.unit.with_name("pipose.service.new").read_text()


def test_uninstall_leaves_nothing(layout, model, capsys):
    before = set(tree(layout))
    install(layout, model)
    uninstall(layout)
    assert set(tree(layout)) == before
    assert not layout.config.parent.exists() and not layout.models.exists()
    capsys.readouterr()
    uninstall(layout)
    assert capsys.readouterr().out == "nothing to remove: the service is not installed\n"


def test_uninstall_keeps_what_is_the_users_until_purge(layout, model):
    before = set(tree(layout))
    install(layout, model)
    layout.config.write_text("# mine\n")
    layout.state.mkdir(parents=True)
    (layout.state / "poses.jsonl").write_text("{}\n")
    uninstall(layout, "--dry-run")
    assert layout.unit.exists()
    uninstall(layout)
    assert set(tree(layout)) - before == {layout.config, layout.state / "poses.jsonl"}
    uninstall(layout, "--purge")
    assert set(tree(layout)) == before


def test_without_its_record_everything_counts_as_edited(layout, model):
    install(layout, model)
    layout.record.write_text("{")
    assert Record(layout.record).hashes == {}
    uninstall(layout)
    assert layout.config.exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "none.tflite"], 3, "none.tflite"),
        (["--model", "TOY", "TOY"], 2, "two of the files have the same name"),
        (["--model", "TOY", "--source", "walk.zip"], 2, "walk.zip is relative; give its whole path"),
        (
            ["--model", "TOY", "--source", "images:/home/pi/x"],
            2,
            "lies in a home, which the service does not",
        ),
        (["--model", "TOY", "--source", "camra:0"], 2, "did you mean 'camera'?"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(layout, model, capsys, words, code, message):
    before = tree(layout)
    words = [str(model) if word == "TOY" else word for word in words]
    assert main(["service", "install", "--root", str(layout.root), *words]) == code
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert tree(layout) == before


def test_this_machine_needs_root_and_systemd(model, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["service", "install", "--model", str(model)]) == 2
    assert "run it again with sudo in front" in capsys.readouterr().err
    assert main(["service", "uninstall"]) == 2


def test_a_folder_that_cannot_be_written_is_one_line(layout, model, capsys):
    (layout.root / "etc/systemd").write_text("in the way")
    install(layout, model, code=5)
    assert capsys.readouterr().err.endswith("cannot be read (Not a directory); see what is in its way\n")


def test_a_configuration_with_odd_names_is_toml(tmp_path):
    text = config_text([tmp_path / 'a "b" \\ ü.tflite', tmp_path / "c"], source_config("camera:0,width=640"))
    (tmp_path / "c.toml").write_text(text)
    assert tomllib.loads(text)["model"][0].endswith('a "b" \\ ü.tflite')
    assert load_config(tmp_path / "c.toml", {}).source.width == 640
