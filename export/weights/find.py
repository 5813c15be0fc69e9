"""Find trained weights by source: download them if necessary, verify them, and read them without running code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.weights.bundled import BUNDLED, find_bundled
from export.weights.download import PublishedWeights, cache_folder, checksum, fetch
from export.weights.state import UNUSED, State
from export.weights.wrappers import plain_keys
from rpi_runtime.errors import DownloadError, WeightsError
from rpi_runtime.files import reading
from rpi_runtime.inputs import open_input, read_input, shown_name
from rpi_runtime.model.card import Provenance

if TYPE_CHECKING:
    from export.weights.openvino_ir import IrGraph

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_READABLE = "make it readable, or give other --weights"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """Weights as read from a file.

    Attributes
    ----------
    state : dict of str to ndarray, float32
        By state_dict key; empty when `ir` is set.
    ir : IrGraph or None
        The OpenVINO graph, whose values have no state_dict keys.
    source, sha256, licence, data : str
        For the model card. The hash is that of the file with the values; `data` describes the training data.
    """

    state: State
    ir: IrGraph | None
    source: str
    sha256: str
    licence: str
    data: str = ""


def find_weights(source: str, known: Mapping[str, PublishedWeights], bundled: str = "") -> Weights:
    """Read weights from a known source's name or a path.

    Parameters
    ----------
    source : str
        Name in `known`, or path of an OpenVINO .xml (or its .bin, or the folder of both), a PyTorch state_dict
        (.pth, .pt, .ckpt, .tar), .safetensors, or an .onnx, of which the convolutions are read.
    known : mapping of str to PublishedWeights
    bundled : str, optional
        Name of the network whose weights the source ``bundled`` means.

    Raises
    ------
    WeightsError
        No such source or file, one that may not be read, is damaged, or of no known format.
    """
    if source == BUNDLED and bundled:
        return _read_bundled(bundled)
    if source in known:
        entry = known[source]
        path = _fetch_all(entry)
        return _read(path, f"{source}: {entry.files[0].url}", entry.licence)
    path = Path(source)
    with reading(path, _READABLE, WeightsError):
        there, folder = path.exists(), path.is_dir()
    if not there:
        names = [*known, *([BUNDLED] if bundled else [])]
        nor = f"neither a file nor one of {', '.join(names)}" if names else "no such file"
        raise WeightsError(
            f"weights {source!r}: {nor}; give the path of an OpenVINO .xml, a PyTorch .pth or a .safetensors"
        )
    if folder:
        path = _only_xml(path)
    return _read(path, shown_name(path), "")


def provenance(weights: Weights, graph: str) -> Provenance:
    """Return the card's provenance of weights and of the published graph that they fit."""
    return Provenance(
        weights_source=weights.source,
        weights_sha256=weights.sha256,
        weights_licence=weights.licence or "as the file's owner says",
        weights_graph=graph,
        weights_data=weights.data,
    )


def _read_bundled(network: str) -> Weights:
    path, card = find_bundled(network)
    return replace(_read(path, f"{BUNDLED}: {path.name}", card.licence), data=f"{card.data}; {card.limits}")


def _fetch_all(entry: PublishedWeights) -> Path:
    """Download a source's files and return the one to read. Without network, the error names all missing files."""
    for file in entry.files:
        try:
            fetch(file)
        except DownloadError as err:
            missing = [f for f in entry.files if f is not file and not (cache_folder() / f.path).is_file()]
            also = "".join(f"; also {f.url} at {cache_folder() / f.path} ({f.checksum})" for f in missing)
            raise DownloadError(f"{err}{also}") from err
    return cache_folder() / entry.files[0].path


def _only_xml(folder: Path) -> Path:
    with reading(folder, _READABLE, WeightsError):
        found = sorted(folder.rglob("*.xml"))
    if len(found) != 1:
        raise WeightsError(f"{folder}: {len(found)} .xml files in it; give the path of the one to read")
    return found[0]


def _read(path: Path, source: str, licence: str) -> Weights:
    suffix = path.suffix.lower()
    ir, values = None, path
    state: State = {}
    with reading(path, _READABLE, WeightsError):
        open_input(path).close()  # the readers below would report it as damaged
    if suffix in (".xml", ".bin"):
        from export.weights.openvino_ir import IrGraph  # a reader of XML: no other kind of weights needs it

        ir, values = IrGraph(path.with_suffix(".xml")), path.with_suffix(".bin")
    elif suffix == ".safetensors":
        state = _read_safetensors(path)
    elif suffix in (".pth", ".pt", ".ckpt", ".tar"):
        state = _read_torch(path)
    elif suffix == ".onnx":
        from export.weights.onnx_file import convolutions  # ONNX: no other kind of weights needs it

        state = convolutions(path)
    else:
        raise WeightsError(
            f"{path}: unknown kind of weights {suffix!r}; expected .xml, .pth, .pt, .safetensors or .onnx"
        )
    return Weights(state=state, ir=ir, source=source, sha256=checksum(values), licence=licence)


def _read_torch(path: Path) -> State:
    from export.weights.torch_files import read_checkpoint  # PyTorch: no other kind of weights needs it

    return read_checkpoint(path)


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(read_input(path))  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as err:
        raise WeightsError(f"{path}: not a whole safetensors file ({err}); fetch it again") from err
    state = plain_keys(dict(tensors)).items()
    return {name: _float32(path, name, tensor) for name, tensor in state if not name.endswith(UNUSED)}


def _float32(path: Path, name: str, tensor: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return one tensor of a safetensors file as float32."""
    kind, data = tensor["dtype"], bytes(tensor["data"])
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in DTYPES:
        values = np.frombuffer(data, DTYPES[kind]).astype(np.float32)
    else:
        raise WeightsError(f"{path}: {name} is of type {kind}; expected one of BF16, {', '.join(DTYPES)}")
    return np.asarray(values.reshape(tensor["shape"]))
