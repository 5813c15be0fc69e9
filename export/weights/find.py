"""Trained weights by source: found or fetched, verified, read without running code, checked key by key."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.weights.bundled import BUNDLED, find_bundled
from export.weights.download import Source, cache_folder, checksum, fetch
from export.weights.openvino_ir import Graph
from quant.progress import Progress
from rpi_runtime.errors import DownloadError, WeightsError
from rpi_runtime.files import reading
from rpi_runtime.model.card import Provenance

State = dict[str, NDArray[np.float32]]
_READABLE = "make it readable, or give other --weights"
# what a pickled NumPy scalar names, before and since NumPy 2; none of it is called
_FIGURES = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """Weights as they were read, before a network takes them.

    Attributes
    ----------
    state : dict of str to ndarray, float32
        By state_dict key; empty when `ir` is set.
    ir : Graph or None
        The OpenVINO graph, whose values have no state_dict keys.
    source, sha256, licence, data : str
        For the model card; the hash is that of the file with the values, `data` says what they were trained on.
    """

    state: State
    ir: Graph | None
    source: str
    sha256: str
    licence: str
    data: str = ""


def find_weights(source: str, known: Mapping[str, Source], progress: Progress, bundled: str = "") -> Weights:
    """Read weights from a known source's name or a path.

    Parameters
    ----------
    source : str
        Name in `known`, or path of an OpenVINO .xml (or its .bin, or the folder of both), a PyTorch state_dict
        (.pth, .pt, .ckpt, .tar) or .safetensors.
    known : mapping of str to Source
    progress : Progress
    bundled : str, optional
        Name of the network whose weights of this package the source ``bundled`` means.

    Raises
    ------
    WeightsError
        No such source or file, one that may not be read, is damaged, or of no known format.
    """
    if source == BUNDLED and bundled:
        return _read_bundled(bundled)
    if source in known:
        entry = known[source]
        path = _fetch_all(entry, progress)
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
    return _read(path, path.name, "")


def provenance(weights: Weights, graph: str) -> Provenance:
    """Return what the card says of weights and of the published graph that they fit."""
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


def _fetch_all(entry: Source, progress: Progress) -> Path:
    """Fetch a source's files and return the one to read; without network, the error names all that are missing."""
    for file in entry.files:
        try:
            fetch(file, progress)
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
        path.open("rb").close()  # the readers below would call it damaged
    if suffix in (".xml", ".bin"):
        ir, values = Graph(path.with_suffix(".xml")), path.with_suffix(".bin")
    elif suffix == ".safetensors":
        state = _read_safetensors(path)
    elif suffix in (".pth", ".pt", ".ckpt", ".tar"):
        state = _read_torch(path)
    else:
        raise WeightsError(
            f"{path}: unknown kind of weights {suffix!r}; expected .xml, .pth, .pt or .safetensors"
        )
    state = {k.removeprefix("module."): v for k, v in state.items()}  # of a network trained on several GPUs
    return Weights(state=state, ir=ir, source=source, sha256=checksum(values), licence=licence)


class _Figure:
    """Stands for a NumPy scalar, such as the accuracy that trainers keep in a checkpoint; holds nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _read_torch(path: Path) -> State:
    """Read a state_dict without unpickling anything but tensors and plain values.

    It may stand alone, or in a trainer's checkpoint: the best one so far where that is kept, else the last.
    """
    try:
        with torch.serialization.safe_globals([(_Figure, name) for name in _FIGURES]):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise WeightsError(
            f"{path}: holds more than tensors, or is no PyTorch file; it was not opened, since that could run code "
            "in it: save its state_dict alone, best as .safetensors"
        ) from err
    except Exception as err:  # a damaged file makes the reader fail in whatever way comes first
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise WeightsError(f"{path}: damaged or truncated ({reason}); fetch it again") from err
    for key in ("best_state_dict", "state_dict"):
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict) or not all(isinstance(v, torch.Tensor) for v in data.values()):
        raise WeightsError(f"{path}: no state_dict in it; expected a mapping of names to tensors")
    return {str(k): _float32(v) for k, v in data.items()}


def _float32(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to(torch.float32).numpy()
    return array


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {k: _float32(v) for k, v in load_file(path).items()}
    except (OSError, SafetensorError) as err:
        raise WeightsError(f"{path}: not a whole safetensors file ({err}); fetch it again") from err


def load_state(
    net: torch.nn.Module, state: Mapping[str, Any], source: str, dropped: Iterable[str] = ()
) -> list[str]:
    """Put `state` into `net`, key by key.

    Parameters
    ----------
    net : torch.nn.Module
        Changed in place, set to evaluation mode.
    state : mapping of str to array
    source : str
        For messages.
    dropped : iterable of str
        Prefixes of keys that are left out on purpose.

    Returns
    -------
    list of str
        The keys left out on purpose.

    Raises
    ------
    WeightsError
        Keys are missing, unexpected or misshapen, or values not finite; 12 are listed, the others counted.
    """
    skip = tuple(dropped)
    left_out = [k for k in state if skip and k.startswith(skip)]
    given = {k: v for k, v in state.items() if k not in set(left_out)}
    wanted = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    given = {k: v for k, v in given.items() if not k.endswith("num_batches_tracked")}
    problems = [f"missing {k}" for k in wanted if k not in given]
    problems += [f"unexpected {k}" for k in given if k not in wanted]
    for key in wanted.keys() & given.keys():
        if tuple(wanted[key].shape) != tuple(given[key].shape):
            problems.append(f"{key} is {tuple(given[key].shape)}, expected {tuple(wanted[key].shape)}")
        elif not np.isfinite(given[key]).all():
            problems.append(f"{key} holds NaN or infinity")
    if problems:
        more = f" and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise WeightsError(
            f"{source}: not the weights of this network: {'; '.join(sorted(problems)[:12])}{more}; "
            "choose the model that they were trained for (--list-models)"
        )
    net.load_state_dict(
        {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in given.items()}, strict=False
    )
    net.eval()
    return left_out
