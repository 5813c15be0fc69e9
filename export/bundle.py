"""Turn a training's result into weights that ship with the package: float16, with a card, reproducible to the byte.

python -m export.bundle runs/pi/weights.safetensors --model lw-openpose-pi --facts facts.toml --start omz
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.weights.bundled import BundledCard, weights_path
from export.weights.find import find_weights
from export.weights.state import State
from export.zoo.lw_openpose.sources import SOURCES
from export.zoo.registry import find_model
from quant.cli import make_parser, run_command
from rpi_runtime.command_line import exit_codes
from rpi_runtime.errors import InputError, OutputError, UsageError, WeightsError
from rpi_runtime.files import write_bytes, write_text
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.settings.toml_value import toml_value
from rpi_runtime.strict import finite, from_mapping

LARGEST = 9_000_000  # largest size in bytes of a file that ships
Half = dict[str, NDArray[np.float16]]
EPILOG = """\
FACTS.toml states the facts that only people know. They go into the card:

  licence = "Apache-2.0"
  start = "Open Model Zoo human-pose-estimation-0001, Apache-2.0"    # or "random"
  data = "labels of ... on ..."
  limits = "photographs for research use; ..."
  recipe = "lw-openpose-pi"                                          # of the training
  commit = "0123456789ab"
  [[measured]]                     # AP on val2017, in percent, one table a size; start may be left out
  size = "160x120"
  float32 = 15.1
  int8 = 15.0
  start = 7.0
  [[candidates]]                   # what it was chosen among: network, size, gmacs, crops, ap, latency
  [[curve]]                        # held-out AP over the training: crops, minutes, size, ap

""" + exit_codes(
    5, 8, own={3: "bad input, or a tensor that training left as it was", 4: "a download failed (--start)"}
)


def read_trained(path: Path) -> State:
    """Read weights, or a training checkpoint's moving average of them."""
    if path.suffix == ".pt" and (average := _average(path)) is not None:
        return average
    weights = find_weights(str(path), {})
    if weights.ir is not None:
        raise WeightsError(f"{path}: an OpenVINO graph; expected a training's checkpoint.pt or .safetensors")
    return weights.state


def _average(path: Path) -> State | None:
    import torch

    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # `find_weights` reports what is wrong
        return None
    average = data.get("average") if isinstance(data, dict) else None
    if not isinstance(average, dict) or not all(isinstance(v, torch.Tensor) for v in average.values()):
        return None
    return {k: v.to(torch.float32).numpy() for k, v in average.items()}


def read_start(source: str, network: str = "") -> State:
    """Read the weights that training started from, as `export.tflite` takes them for Lightweight OpenPose.

    Parameters
    ----------
    source : str
        Of `SOURCES`, a path, or ``bundled``.
    network : str, optional
        The network whose weights ``bundled`` means; without it, that source is unknown.

    Raises
    ------
    WeightsError
        The source or file does not exist or is damaged, or the package has no weights of `network`.
    DownloadError
        A published file cannot be fetched.
    """
    weights = find_weights(source, SOURCES, network)
    if weights.ir is None:
        adopt = find_model(network).adopt if network else None
        return adopt(weights.state, weights.source) if adopt else weights.state
    from export.zoo.lw_openpose.weights import find_form  # ONNX is not needed for --help

    return find_form(weights).state


def blend(trained: State, start: Mapping[str, NDArray[np.float32]], part: float) -> State:
    """Interpolate between the start and the trained weights, by `part` of the way.

    Fine-tuning for one task unlearns others; weights between the two are good at both (WiSE-FT; Wortsman et al. 2022,
    arXiv:2109.01903). Choose `part` on held-out pictures. Weights that
    `export.zoo.lw_openpose.balance` rescaled lie elsewhere. A tensor that training changed by so little that its part
    is lost in float16 goes the whole way.

    Raises
    ------
    WeightsError
        The two are not weights of the same network.
    """
    if {k: v.shape for k, v in trained.items()} != {k: v.shape for k, v in start.items()}:
        raise WeightsError(
            "--blend: the weights to start from are of another network, or of another form of it"
        )
    return {k: _between(start[k], trained[k], part) for k in trained}


def _between(start: NDArray[np.float32], trained: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    """Go a part of the way; the whole way where float16 cannot tell the part from the start."""
    value = ((1 - part) * start + part * trained).astype(np.float32)
    if np.array_equal(value.astype(np.float16), start.astype(np.float16)):
        return trained
    return value


def to_half(state: Mapping[str, NDArray[np.float32]], name: str) -> Half:
    """Convert to float16 without bookkeeping entries (num_batches_tracked); raises `WeightsError` on overflow."""
    with np.errstate(over="ignore"):  # reported below, with the names
        half = {k: np.asarray(v).astype(np.float16) for k, v in sorted(state.items())}
    half = {k: v for k, v in half.items() if not k.endswith("num_batches_tracked")}
    wrong = [k for k, v in half.items() if not np.isfinite(v).all()]
    if wrong:
        raise WeightsError(
            f"{name}: {', '.join(wrong[:3])}: not finite in float16; train with a limit on weights"
        )
    return half


def refuse_untrained(half: Half, start: Mapping[str, NDArray[np.float32]], name: str) -> None:
    """Raise `WeightsError` if a tensor equals one of the start with the same shape, to float16's last bit.

    Names are ignored, because a renamed tensor is still the start's.
    """
    known = {(v.shape, v.astype(np.float16).tobytes()): k for k, v in start.items()}
    several = {k: v for k, v in half.items() if v.size > 1}
    same = [f"{k} is {known[key]}" for k, v in several.items() if (key := (v.shape, v.tobytes())) in known]
    if same:
        more = f" and {len(same) - 3} more" if len(same) > 3 else ""
        raise WeightsError(
            f"{name}: {', '.join(same[:3])}{more} of the weights that training started from, unchanged; those may "
            "not ship: train every layer"
        )


def encode(half: Half, metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file, keys sorted.

    Written here because the library's order of metadata differs between processes. Source: the format's description,
    https://github.com/huggingface/safetensors#format: length of the header (8 bytes, little endian), header (JSON,
    padded with spaces), values.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for key, value in half.items():
        header[key] = {
            "dtype": "F16",
            "shape": list(value.shape),
            "data_offsets": [offset, offset + value.nbytes],
        }
        offset += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    values = b"".join(np.ascontiguousarray(v).astype("<f2").tobytes() for v in half.values())
    return len(text).to_bytes(8, "little") + text + values


def to_toml(card: BundledCard) -> str:
    """Return a card as TOML."""
    data = asdict(card)
    tables = {k: data.pop(k) for k in ("measured", "candidates", "curve")}
    lines = [f"{k} = {toml_value(v)}" for k, v in data.items()]
    for name, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{name}]]", *(f"{k} = {toml_value(v)}" for k, v in row.items())]
    return "\n".join(lines) + "\n"


def read_facts(path: Path, name: str, sha256: str) -> BundledCard:
    """Return the card: the facts of the file, name and hash."""
    try:
        text = read_input(path)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err}); see --help for what it says") from err
    facts = parse_toml(text, path, "see --help for what it says")
    return from_mapping(BundledCard, facts | {"network": name, "sha256": sha256}, InputError)


def write_pair(target: Path, data: bytes, card: BundledCard) -> None:
    """Write weights to `target` and their card beside them: both or neither, because the card names the weights' hash.

    Raises
    ------
    OutputError
        One of them cannot be written. Earlier files are restored.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.stem}.", dir=target.parent) as name:
            weights, text, former = (Path(name) / end for end in ("weights", "card", "former"))
            write_bytes(weights, data)  # everything that needs disk space comes before the first rename
            write_text(text, to_toml(card))
            if target.is_file():
                shutil.copy2(target, former)
            try:
                weights.replace(target)
                text.replace(target.with_suffix(".toml"))
            except BaseException:  # Ctrl-C as well
                if former.is_file():
                    former.replace(target)
                elif target.is_file():
                    target.unlink()
                raise
    except OSError as err:
        raise OutputError(
            f"{target} and its .toml: cannot be written ({err.strerror or err}); "
            "make both writable or choose another --output"
        ) from err


def main(argv: Sequence[str] | None = None) -> int:
    """Write NAME.safetensors and NAME.toml."""
    parser = make_parser(
        "export.bundle",
        "Turn a training's result into weights that ship with the package.",
        EPILOG,
        former={"--name": "--model"},
    )
    parser.add_argument(
        "trained", type=Path, help="checkpoint.pt (its averaged weights) or weights.safetensors"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="a network of the zoo")
    parser.add_argument("--facts", type=Path, required=True, metavar="FACTS.toml", help="see below")
    parser.add_argument(
        "--start",
        metavar="SOURCE",
        help="weights that training started from, as export.tflite --weights takes them (bundled: those of --model); "
        "no tensor of theirs may be left",
    )
    parser.add_argument(
        "--blend",
        type=finite,
        metavar="PART",
        help="go only so far from --start to the trained weights, 0 to 1; of a run of export.train take checkpoint.pt: "
        "weights.safetensors computes the same with its channels rescaled, and does not lie on the way",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: where the package keeps that network's weights"
    )
    args = parser.parse_args(argv)
    if args.blend is not None and not (args.start and 0 < args.blend < 1):
        raise UsageError(f"--blend {args.blend:g}: expected a part between 0 and 1, and --start")
    entry = find_model(args.model)
    state = read_trained(args.trained)
    if args.blend is not None:
        state = blend(state, read_start(args.start, args.model), args.blend)
    half = to_half(state, args.trained.name)
    whole = {k: v.astype(np.float32) for k, v in half.items()}
    from export.weights.module import load_state  # PyTorch is not needed for --help

    load_state(entry.bare(), whole, args.trained.name)
    if args.start:
        refuse_untrained(half, read_start(args.start, args.model), args.trained.name)
    data = encode(half, {"network": args.model, "format": "pt"})
    if len(data) > LARGEST:
        raise InputError(f"{args.trained}: {len(data)} bytes in float16, expected at most {LARGEST}")
    card = read_facts(args.facts, args.model, hashlib.sha256(data).hexdigest())
    target = (args.output or weights_path(args.model).parent) / f"{args.model}.safetensors"
    write_pair(target, data, card)
    print(f"{target}: {len(data)} bytes, {len(half)} tensors, sha256 {card.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
