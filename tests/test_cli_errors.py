"""Every bad input of the main job: one line that says what to do, its exit code, nothing half written."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tflite import main
from quant.cli import run_command
from quant.judge.gate import Check
from quant.quantize import quantizer
from quant.quantize.equalize import Outlier, equalize
from quant.tflite.records import Model, Tensor
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.errors import InputError
from tests.export.toynet import CARD, write_pictures, write_toy_network
from tests.quant.toycoco import write_toy_coco

COCO_CARD = CARD.replace("[[outputs]]", f"coco = {[0] * 17}\n\n[[outputs]]", 1)


class Place:
    """A folder with the toy network and pictures; `run` replaces NAMES in arguments by paths."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *argv: str) -> int:
        words = [re.sub(r"@(\S+)", lambda m: str(self.path(m[1])), a) for a in argv]
        return run_command(main, [*words, "--output", str(self.out)])


@pytest.fixture(scope="module")
def toy_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toyfiles")
    write_toy_network(folder)
    (folder / "toy.toml").write_text(COCO_CARD)
    write_pictures(folder / "pictures", 4)
    write_toy_coco(folder / "coco")
    return folder


@pytest.fixture
def place(toy_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PIPOSE_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    return Place(shutil.copytree(toy_files, tmp_path / "place"))


def left(folder: Path) -> list[str]:
    return (
        sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        if folder.exists()
        else []
    )


def check(
    place: Place, capfd: pytest.CaptureFixture[str], argv: list[str], code: int, *parts: str, never: str = ""
) -> None:
    """Run a command that ends with one line; `never` is a stage that it must not reach."""
    before = left(place.out)
    assert place.run(*argv) == code
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, err
    assert err.splitlines()[-1] == lines[0]
    assert "Traceback" not in err
    assert not never or never not in err
    for part in parts:
        assert part.replace("@", f"{place.folder}/") in lines[0]
    assert out == ""
    assert left(place.out) == before


MODEL = ["--model", "lw-openpose"]
OWN = ["--onnx", "@toy.onnx", "--card", "@toy.toml"]
INT8 = ["--int8", "--calibration", "@pictures"]

USAGE = [
    (["--model", "lw-opnpose"], "no model 'lw-opnpose'; did you mean 'lw-openpose'?"),
    (["--model", "xyz"], "known: lw-openpose"),
    (["--model", "my net.onnx"], "export.tflite --onnx 'my net.onnx' --card CARD"),
    (
        [*MODEL, "--int8", "--recipe", "lpn-50"],
        "is a training recipe, for export.train; quantization recipes: w16_a32",
    ),
    ([], "--model NAME"),
    ([*MODEL, *OWN], "--model NAME"),
    (["--onnx", "@toy.onnx"], "--onnx or --tflite and --card go together"),
    ([*MODEL, "--card", "@toy.toml"], "--onnx or --tflite and --card go together"),
    ([*OWN, "--weights", "@w.pth"], "--weights goes with --model"),
    ([*MODEL, "--size", "161x120"], "multiples of 8; the nearest is 160x120"),
    ([*MODEL, "--size", "160x120", "--size", "160x121"], "multiples of 8; the nearest is 160x120"),
    ([*MODEL, "--size", "0x0"], "expected 32 to 2048 pixels a side"),
    ([*MODEL, "--size", "8x8"], "expected 32 to 2048 pixels a side"),
    ([*MODEL, "--size", "99992x120"], "expected 32 to 2048 pixels a side"),
    ([*MODEL, "--size", "160"], "expected WIDTHxHEIGHT, as in 160x120"),
    ([*MODEL, "--size", "160*120"], "expected WIDTHxHEIGHT"),
    ([*MODEL, "--size=-160x120"], "expected WIDTHxHEIGHT"),
    ([*MODEL, "--size", "999999x8"], "expected WIDTHxHEIGHT"),
    ([*MODEL, "--int8", "--float16"], "--int8 and --float16 exclude each other"),
    ([*MODEL, "--int8", "--recipe", "w16_a32"], "--recipe w16_a32 is not int8"),
    ([*MODEL, "--calibration", "@pictures"], "--calibration goes with --int8"),
    ([*MODEL, "--int8", "--calibration-images", "0"], "--calibration-images 0: expected 1 or more"),
    ([*MODEL, "--int8", "--max-ap-drop", "-1"], "--max-ap-drop -1.0: expected 0 or more"),
    ([*OWN, "--int8", "--calibration-images", "100000"], "32 come with the package"),
    ([*OWN, "--int8", "--calibration", "coco", "--calibration-images", "100000"], "can be fetched"),
]


@pytest.mark.parametrize(("argv", "message"), USAGE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_wrong_usage_is_exit_code_2(
    place: Place, capfd: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    check(place, capfd, argv, 2, message)


@pytest.mark.parametrize(
    "argv", [["--modell"], ["--calibration-images", "x"], ["--size"], ["--max-ap-drop", "nan"]]
)
def test_argparse_refuses_with_2_as_well(
    place: Place, capfd: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        place.run(*argv)
    assert caught.value.code == 2
    assert "Traceback" not in capfd.readouterr().err


def broken_onnx(place: Place) -> None:
    path = place.path("toy.onnx")
    path.write_bytes(path.read_bytes()[:2000])


def card(change: Callable[[str], str]) -> Callable[[Place], None]:
    def write(place: Place) -> None:
        place.path("toy.toml").write_text(change(CARD))

    return write


def empty_folder(place: Place) -> None:
    shutil.rmtree(place.path("pictures"))
    place.path("pictures").mkdir()


def all_broken(place: Place) -> None:
    for path in place.path("pictures").iterdir():
        path.write_bytes(path.read_bytes()[:50])


def evaluation_image(place: Place) -> None:
    shutil.copy(place.path("coco/val2017/000000000102.png"), place.path("pictures/other.png"))


def half_weights(place: Place, suffix: str) -> None:
    place.path(f"w{suffix}").write_bytes(b"\x80\x02\x8a\x0a" + bytes(100))


INPUT = [
    ("weights missing", None, [*MODEL, "--weights", "@w.pth"], "neither a file nor one of omz, osokin"),
    ("weights truncated .pth", lambda p: half_weights(p, ".pth"), [*MODEL, "--weights", "@w.pth"], "@w.pth: "),
    ("weights truncated .safetensors", lambda p: half_weights(p, ".safetensors"),
     [*MODEL, "--weights", "@w.safetensors"], "not a whole safetensors file"),
    ("weights truncated .xml", lambda p: (half_weights(p, ".xml"), half_weights(p, ".bin")),
     [*MODEL, "--weights", "@w.xml"], "not a readable OpenVINO graph"),
    ("weights .xml without .bin", lambda p: half_weights(p, ".xml"), [*MODEL, "--weights", "@w.xml"], "two files"),
    ("weights of another kind", lambda p: half_weights(p, ".h5"), [*MODEL, "--weights", "@w.h5"], "unknown kind"),
    ("unknown recipe", None, [*MODEL, "--int8", "--recipe", "w8c_a8_eqx"], "not one of w16_a32"),
    ("onnx missing", lambda p: p.path("toy.onnx").unlink(), OWN, "@toy.onnx: "),
    ("onnx truncated", broken_onnx, OWN, "@toy.onnx: not a readable ONNX file"),
    ("onnx is text", lambda p: p.path("toy.onnx").write_text("x" * 999) and None, OWN, "not a readable ONNX file"),
    ("card missing", lambda p: p.path("toy.toml").unlink(), OWN, "@toy.toml: cannot be read"),
    ("card no TOML", card(lambda t: t + "\nx = "), OWN, "@toy.toml: not valid TOML"),
    ("card unknown key", card(lambda t: t.replace("stride", "strid")), OWN, "did you mean 'stride'?"),
    ("card other channels", card(lambda t: t.replace("channels = 5", "channels = 7")), OWN, "the card says (1, "),
    ("card other output", card(lambda t: t.replace('"maps"', '"heat"')), OWN, "no output heat; it has fields, maps"),
    ("card hostile name", card(lambda t: t.replace('"toy"', '"../../toy"')), OWN, "becomes a file name"),
    ("own network at another size", None, [*OWN, "--size", "128x96"], "input [1, 3, 48, 64], expected [1, 3, 96, 128]"),
    ("calibration missing", None, [*OWN, "--int8", "--calibration", "@nowhere"], "no such folder"),
    ("calibration empty", empty_folder, [*OWN, *INT8], "no pictures in it"),
    ("calibration all broken", all_broken, [*OWN, *INT8], "none of its 4 pictures can be read"),
    ("calibration is evaluation", evaluation_image, [*OWN, *INT8, "--coco", "@coco"], "are evaluation images"),
    ("evaluation missing", None, [*OWN, *INT8, "--coco", "@nowhere"], "no image folder val2017/"),
    ("evaluation split missing", None, [*OWN, *INT8, "--coco", "@coco", "--split", "test"], "test"),
    ("skeleton is not COCO's", card(str), [*OWN, *INT8, "--coco", "@coco"], "names no COCO keypoints"),
]  # fmt: skip


@pytest.mark.parametrize(("prepare", "argv", "message"), [i[1:] for i in INPUT], ids=[i[0] for i in INPUT])
def test_bad_input_is_exit_code_3(
    place: Place,
    capfd: pytest.CaptureFixture[str],
    prepare: Callable[[Place], object] | None,
    argv: list[str],
    message: str,
) -> None:
    if prepare:
        prepare(place)
    check(place, capfd, argv, 3, message)


def test_annotations_that_do_not_fit_the_images(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    write_picture(np.zeros((9, 9, 3), np.uint8), place.path("coco/val2017/000000000101.png"))
    check(
        place, capfd, [*OWN, *INT8, "--coco", "@coco"], 3, "9x9 pixels, annotated as 64x48", never="float32"
    )


def test_an_incomplete_split_is_announced_before_the_work(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise InputError("far enough")

    monkeypatch.setattr("export.chain.export_one", stop)
    place.path("coco/val2017/000000000102.png").unlink()
    assert place.run(*OWN, "--coco", "@coco") == 3
    err = capfd.readouterr().err
    assert "1 images of val2017 are not on disk; evaluating on the others" in err
    assert err.splitlines()[-1] == "error: far enough"


def test_broken_images_among_good_ones_are_named(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.path("pictures/picture02.png").write_bytes(b"broken")
    assert place.run(*OWN, *INT8) == 0
    assert "1 unreadable, skipped: picture02.png" in capfd.readouterr().err
    assert left(place.out) == [f"toy-64x48-int8.{s}" for s in ("report.html", "report.json", "tflite")]


@pytest.mark.parametrize("source", ["omz", "osokin"])
def test_without_network_is_exit_code_4(place: Place, capfd: pytest.CaptureFixture[str], source: str) -> None:
    cache = str(place.folder.parent / "cache")
    check(place, capfd, [*MODEL, "--weights", source], 4, "cannot be reached", "https://", cache, "put it at")


def test_without_network_and_calibration_images_is_exit_code_4(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    check(place, capfd, [*OWN, "--int8", "--calibration", "coco"], 4, "calibration images: ", "--calibration")


@pytest.fixture
def small_disk(place: Place) -> Iterator[Callable[[str], None]]:
    """Mount a tmpfs with options at the output folder."""
    place.out.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place.out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("no mount command here")
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")

    yield mount
    subprocess.run(["umount", str(place.out)], capture_output=True)


def test_a_full_disk_is_exit_code_5(
    place: Place, capfd: pytest.CaptureFixture[str], small_disk: Callable[[str], None]
) -> None:
    small_disk("size=8k")
    check(place, capfd, OWN, 5, "cannot be written (No space left on device)")


def test_a_read_only_disk_is_exit_code_5(
    place: Place, capfd: pytest.CaptureFixture[str], small_disk: Callable[[str], None]
) -> None:
    small_disk("size=1m,ro")
    check(place, capfd, OWN, 5, "cannot be written (Read-only file system); choose another folder")


def test_an_output_that_is_a_file_is_exit_code_5(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.out.write_text("mine")
    assert place.run(*OWN) == 5
    assert "cannot be written (File exists)" in capfd.readouterr().err
    assert place.out.read_text() == "mine"


def test_a_step_that_changes_the_network_is_exit_code_6(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = equalize

    def wrong(model: Model, *args: Any) -> list[Outlier]:
        found = true(model, *args)
        op = next(op for op in model.operators if op.name == "CONV_2D")
        assert op.inputs[1] is not None
        op.inputs[1] = Tensor.constant("wrong", op.inputs[1].real() * np.float32(1.01))
        return found

    monkeypatch.setattr(quantizer, "equalize", wrong)
    check(place, capfd, [*OWN, *INT8], 6, "float32 -> equalized", "allowed 0.001", "please report it")


def test_a_file_that_fails_the_gate_is_exit_code_7(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.run(*OWN, *INT8) == 0
    good = (place.out / "toy-64x48-int8.tflite").read_bytes()
    capfd.readouterr()
    failed = Check(name="heatmap rmse", found="0.5", allowed="<= 0.008", passed=False)
    monkeypatch.setattr("export.integers.check_agreement", lambda *args: [failed])
    assert place.run(*OWN, *INT8) == 7
    out, err = capfd.readouterr()
    assert err.splitlines()[-1].startswith("error: refused: ")
    assert "REFUSED" in out
    assert "heatmap rmse" in out
    assert "<= 0.008" in out
    assert (place.out / "toy-64x48-int8.tflite").read_bytes() == good
    refused = {
        f"toy-64x48-int8{end}"
        for end in (".tflite.rejected", ".rejected.report.json", ".rejected.report.html")
    }
    assert refused <= {p.name for p in place.out.iterdir()}
    monkeypatch.undo()
    assert place.run(*OWN, *INT8) == 0
    assert not refused & {p.name for p in place.out.iterdir()}
