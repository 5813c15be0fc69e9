"""Read a user's ONNX file and the weights that lie beside it, without trusting either."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from export.graph.tidy.structure import check_structure
from quant.tflite.schema import IDENTIFIER
from rpi_runtime.errors import InputError
from rpi_runtime.files import reading
from rpi_runtime.inputs import real_path

LARGEST = 1 << 30  # bytes; a larger network does not run on a Raspberry Pi


def read_onnx(path: Path) -> tuple[onnx.ModelProto, str]:
    """Return the model with all its weights inside, and the SHA-256 of everything that was read.

    Raises
    ------
    InputError
        The file is not ONNX, damaged, larger than `LARGEST`, or has external data outside its folder.
    """
    digest = hashlib.sha256()
    data = _bytes_of(path, digest)
    if data[4:8] == IDENTIFIER:
        raise InputError(f"{path}: a TFLite file, not ONNX; give it with --tflite")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise InputError(
            f"{path}: not a readable ONNX file (damaged, or another format); export it again"
        ) from err
    if not model.graph.node:
        raise InputError(f"{path}: not a readable ONNX file (it has no nodes); export it again")
    _load_external(model, path, digest)
    check_structure(model, str(path))
    return model, digest.hexdigest()


def _bytes_of(path: Path, digest: Any) -> bytes:
    with reading(path, "make it readable, or give another file"):
        if not path.is_file():
            raise InputError(f"{path}: not a file; expected an ONNX file")
        if path.stat().st_size > LARGEST:
            raise InputError(
                f"{path}: larger than {LARGEST >> 20} MiB; that is no network for a Raspberry Pi"
            )
        data = path.read_bytes()
    digest.update(data)
    return data


def _load_external(model: onnx.ModelProto, path: Path, digest: Any) -> None:
    """Move tensors from other files into the model."""
    files: dict[str, bytes] = {}
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {e.key: e.value for e in tensor.external_data}
        place = entries.get("location", "")
        if place not in files:
            files[place] = _bytes_of(_beside(path, place), digest)
        try:
            offset, length = int(entries.get("offset", 0)), entries.get("length")
            end = len(files[place]) if length is None else offset + int(length)
        except ValueError as err:
            raise InputError(
                f"{path}: tensor {tensor.name} says no number where its data lie ({err})"
            ) from err
        if not 0 <= offset <= end <= len(files[place]):
            raise InputError(
                f"{path}: {place} ends at byte {len(files[place])}, tensor {tensor.name} needs {end}; "
                "the file is cut short, or belongs to another network: copy both again"
            )
        tensor.raw_data = files[place][offset:end]
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _beside(path: Path, place: str) -> Path:
    """Return the file that holds a tensor's data. It must lie in the folder of the ONNX file and be no link."""
    folder = real_path(path.parent)
    target = folder / place
    if (
        not place
        or Path(place).is_absolute()
        or real_path(target) != target
        or not target.is_relative_to(folder)
    ):
        raise InputError(
            f"{path}: its weights are said to lie in {place!r}; expected a file in the same folder, and no link"
        )
    return target


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _tensors(inner)
