"""Print the model card inside a .tflite, give a file a card, or begin one.

python -m quant.card FILE
python -m quant.card FILE --attach CARD.toml
python -m quant.card FILE --describe
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quant.cli import make_parser, run_command
from quant.speed.boards import BOARDS
from quant.speed.prediction import predict
from rpi_runtime.command_line import AS_JSON, exit_codes
from rpi_runtime.errors import CardError
from rpi_runtime.files import reading
from rpi_runtime.model.card import ModelCard, read_card
from rpi_runtime.model.decoders import (
    CentreSettings,
    DecoderSettings,
    DetectorSettings,
    PafSettings,
    SimccSettings,
    TagSettings,
)
from rpi_runtime.model.member import CALIBRATION_MEMBER, read_member


def describe(card: ModelCard) -> str:
    """Return the card as a person would read it."""
    spec, origin = card.input, card.provenance
    lines = [
        f"{card.name}, {card.recipe}",
        f"  input        {spec.size} {spec.channels.upper()}, {spec.fit}, mean {_numbers(spec.mean)}, "
        f"scale {_numbers(spec.scale)}",
    ]
    for output in card.outputs:
        lines.append(
            f"  output       {output.name}: {output.role}, {output.channels} channels, stride {output.stride}"
        )
    lines.append(
        f"  skeleton     {len(card.skeleton.keypoints)} keypoints: {', '.join(card.skeleton.keypoints)}"
    )
    lines.append(f"  decoder      {_decoder(card.decoder)}")
    lines.append(
        f"  weights      {origin.weights_source} (graph {origin.weights_graph}, licence {origin.weights_licence})"
    )
    lines.append(f"               sha256 {origin.weights_sha256}")
    if origin.weights_data:
        lines.append(f"               trained on {origin.weights_data}")
    if origin.calibration_images:
        lines.append(
            f"  calibration  {origin.calibration_images} images, manifest sha256 {origin.calibration_sha256}"
        )
    for name, value in card.measured.items():
        lines.append(f"  {name:<20} {value:.6g}")
    lines.append("  made with    " + ", ".join(f"{k} {v}" for k, v in origin.tools.items()))
    return "\n".join(lines)


def _decoder(decoder: DecoderSettings) -> str:
    if isinstance(decoder, DetectorSettings):
        bins = f", {decoder.bins} bins a side" if decoder.bins > 1 else ""
        return (
            f"{decoder.kind}, {decoder.form}{bins}, from {decoder.threshold}, overlap {decoder.nms_overlap:g}"
        )
    peaks = f"peaks from {decoder.peak_threshold}"
    if isinstance(decoder, CentreSettings):
        return f"centres, {decoder.people}, {peaks}"
    if isinstance(decoder, SimccSettings):
        return f"simcc, {decoder.split:g} bins a pixel, crops padded {decoder.box_padding:g} times, {peaks}"
    if isinstance(decoder, PafSettings):
        return f"paf, {len(decoder.limbs)} limbs, {peaks}"
    if isinstance(decoder, TagSettings):
        return f"tags, one person within {decoder.tag_threshold:g}, {peaks}"
    place = "maximum" if decoder.beta is None else f"soft maximum, beta {decoder.beta:g}"
    return f"topdown, {place}, crops padded {decoder.box_padding:g} times, {peaks}"


def _numbers(values: Sequence[float]) -> str:
    unique = sorted(set(values))
    shown = unique if len(unique) == 1 else list(values)
    return ", ".join(
        f"1/{round(1 / v)}" if 0 < v < 0.1 and abs(1 / v - round(1 / v)) < 1e-6 else f"{v:g}" for v in shown
    )


def _manifest(path: Path) -> str:
    try:
        return read_member(path, CALIBRATION_MEMBER).decode()
    except UnicodeDecodeError as err:
        raise CardError(
            f"{path}: its calibration manifest is not UTF-8 text ({err.reason}); copy or export the file again"
        ) from err


def _describe_file(path: Path) -> int:
    """A .tflite is read here; an ONNX file by the package above this one, as a command of its own."""
    from quant.cards.describe import describe_tflite
    from quant.cards.draft import draft_of
    from quant.tflite.read import read_model
    from quant.tflite.schema import IDENTIFIER

    with reading(path, "make it readable, or give another file"):
        data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        return subprocess.run([sys.executable, "-m", "export.describe", str(path)], check=False).returncode
    print(draft_of(path, describe_tflite(read_model(data))))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Print the card of a file."""
    parser = make_parser(
        "quant.card",
        "Print the model card inside a .tflite, give a file a card, or begin one.",
        exit_codes(5, 8, own={3: "no such file, no card, or a broken one"}),
        former={"--calibration": "--manifest"},
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a .tflite of pipose")
    parser.add_argument("--json", action="store_true", help=AS_JSON)
    parser.add_argument(
        "--manifest",
        action="store_true",
        help="print the calibration pictures that it holds: names and hashes",
    )
    parser.add_argument(
        "--attach", metavar="CARD",
        help="check a card, FILE.toml or a name of export.tflite --list-cards, against the file and store it in it",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="with --attach: write there instead")
    parser.add_argument(
        "--describe",
        action="store_true",
        help="print what an ONNX file or a .tflite holds, as the beginning of a card",
    )
    args = parser.parse_args(argv)
    if args.describe:
        return _describe_file(args.file)
    if args.attach:
        from quant.cards.attach import attach
        from quant.cards.read import read_own_card

        print(describe(attach(args.file, read_own_card(args.attach), args.output or args.file)))
        return 0
    if args.manifest:
        print(_manifest(args.file), end="")
        return 0
    card = read_card(args.file)
    if args.json:
        print(card.to_json())
        return 0
    print(describe(card))
    if importlib.util.find_spec("flatbuffers"):  # which a device does not have
        for board in BOARDS:
            print(f"  speed        {predict(args.file, board).describe()}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
