"""A card for a .tflite that is already what its owner wants: checked against its tensors, and put behind them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from quant.cards.compare import disagreements
from quant.tflite.read import read_model
from quant.tflite.write import append_members, write_model
from rpi_runtime import __version__
from rpi_runtime.errors import CardError, InputError
from rpi_runtime.files import reading, write_bytes
from rpi_runtime.inputs import shown_name
from rpi_runtime.model.card import ModelCard, Provenance, read_card
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CARD_MEMBER
from rpi_runtime.scratch import scratch_folder

LARGEST = 1 << 30  # bytes
AS_GIVEN = "as given"  # in the place of a recipe


def attach(path: Path, card: ModelCard, output: Path) -> ModelCard:
    """Write a file with a card behind it, and return the card as it was written.

    The network's own bytes stay as they are, except that a file without a signature gets one, by whose names the
    runtime finds the outputs. A card that is there already is replaced, unless an export wrote it and it says something
    else about input or outputs: what the network is fed was decided when it was made.

    Parameters
    ----------
    path : path
        A .tflite; float or integer.
    card : ModelCard
        Its outputs name those of the file's signature, or its tensors where there is none.
    output : path
        May be `path`.

    Raises
    ------
    InputError
        The file cannot be read.
    CardError
        The card does not fit the file's tensors, or contradicts the card that the export of the file wrote.
    """
    data = _network_of(path)
    _refuse_contradiction(path, card)
    origin = Provenance(
        weights_source=shown_name(path),
        weights_sha256=sha256(data).hexdigest(),
        weights_licence=card.provenance.weights_licence or "as the file's owner says",
        weights_graph="tflite",
        tools={"pipose": __version__},
    )
    described = replace(card, recipe=AS_GIVEN, provenance=origin)
    whole = append_members(_with_signature(data, path), {CARD_MEMBER: described.to_json()})
    with scratch_folder() as folder:
        trial = folder / path.name
        trial.write_bytes(whole)
        try:
            Model(trial, threads=1).invoke()
        except CardError as err:
            raise CardError(str(err).replace(str(trial), str(path))) from err
        except InputError as err:
            raise InputError(str(err).replace(str(trial), str(path))) from err
    write_bytes(output, whole)
    return described


def _refuse_contradiction(path: Path, card: ModelCard) -> None:
    try:
        inside = read_card(path)
    except CardError:
        return  # it has none, or none that can be read
    found = disagreements(inside, card) if inside.recipe != AS_GIVEN else []
    if found:
        raise CardError(
            f"{path}: the export that made it wrote a card that says {'; '.join(found)} as the given one",
            remedy="correct the given card, or export the network again with it",
        )


def _network_of(path: Path) -> bytes:
    """The flatbuffer alone, without an archive behind it."""
    with reading(path, "make it readable, or give another file"):
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise InputError(f"{path}: expected a .tflite of at most {LARGEST >> 20} MiB")
        data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return data[: min((item.header_offset for item in archive.infolist()), default=len(data))]
    except zipfile.BadZipFile:
        return data


def _with_signature(data: bytes, path: Path) -> bytes:
    try:
        model = read_model(data)  # refuses what is no .tflite
    except InputError as err:
        raise InputError(f"{path}: {err}", remedy="give the .tflite of the network") from err
    if schema.Model.GetRootAs(data, 0).SignatureDefsLength() == 1:
        return data
    return write_model(model)
