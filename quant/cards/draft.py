"""The beginning of a card, from what a network's file holds.

Roles, decoder and keypoints are guessed from shapes alone, and marked as guesses. Where
they are guessed, the card can be read as it is; what has no role then is commented out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quant.cards.describe import FileDescription, Head
from rpi_runtime.errors import CardError
from rpi_runtime.evaluate.coco_people import KEYPOINTS
from rpi_runtime.model.card import read_card

GUESS = "  # ? a guess"
UNKNOWN = 'kind = "?"  # paf, tags, topdown, boxes, boxes+keypoints, centres, simcc'


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is guessed.

    Attributes
    ----------
    roles : mapping of str to str
        By name of the head; those without a guess are left out.
    kind : str
        Kind of the decoder; empty where nothing fits.
    keypoints : int
    settings : tuple of str
        Lines of the decoder's table.
    """

    roles: Mapping[str, str]
    kind: str = ""
    keypoints: int = 0
    settings: tuple[str, ...] = ()

    @property
    def fit(self) -> str:
        """How a picture is fitted to the input."""
        return "crop" if self.kind in ("topdown", "simcc") else "letterbox"


def guess(found: FileDescription) -> Draft:
    """Guess roles and decoder from channels, strides and shapes: from the outputs alone where that is enough."""
    outputs = replace(found, heads=tuple(h for h in found.heads if not h.inner))
    if len(outputs.heads) < len(found.heads) and (draft := guess(outputs)).kind:
        return draft
    pair = _distributions(found)
    if pair is not None:
        wide = next(h for h in found.heads if pair.get(h.name) == "simcc_x")
        split = wide.shape[2] / found.size[0]
        return Draft(roles=pair, kind="simcc", keypoints=wide.shape[1], settings=(f"split = {split}{GUESS}",))
    roles = {name: role for name, role in guess_roles(found.heads).items() if role}
    channels = {role: h.channels for h in found.heads if (role := roles.get(h.name))}
    kinds = set(channels)
    if "pafs" in kinds:
        example = "{ a = 0, b = 1, paf_x = 0, paf_y = 1 }"
        line = f"limbs = []  # ? in decoding order, each as {example}: from, to, and the field's channels"
        return Draft(roles=roles, kind="paf", keypoints=channels["heatmaps"], settings=(line,))
    if "centre" in kinds:
        return Draft(roles=roles, kind="centres", keypoints=channels["heatmaps"])
    if "boxes" in kinds:
        bins = channels["boxes"] // 4
        settings = (f"bins = {bins}{GUESS}",) if bins > 1 else ()
        kind = "boxes+keypoints" if "keypoints" in kinds else "boxes"
        return Draft(roles=roles, kind=kind, keypoints=channels.get("keypoints", 0) // 3, settings=settings)
    if kinds == {"heatmaps"}:
        return Draft(roles=roles, kind="topdown", keypoints=channels["heatmaps"])
    return Draft(roles=roles)


def _distributions(found: FileDescription) -> dict[str, str] | None:
    """Two outputs (1, keypoints, bins) with as many bins a pixel along x as along y: SimCC."""
    rows = [h for h in found.heads if len(h.shape) == 3 and h.shape[0] == 1 and not h.inner]
    width, height = found.size
    if len(rows) != 2 or rows[0].shape[1] != rows[1].shape[1]:
        return None
    for x, y in (rows, rows[::-1]):
        if x.shape[2] * height == y.shape[2] * width and x.shape[2] >= width:
            return {x.name: "simcc_x", y.name: "simcc_y"}
    return None


def guess_roles(heads: Sequence[Head]) -> dict[str, str]:
    """Guess what maps are, by their channels; an empty text where nothing fits."""
    maps = [h for h in heads if h.stride]
    strides = sorted({h.stride for h in maps})
    guesses = {h.name: "" for h in maps}
    for stride in strides:
        here = sorted((h for h in maps if h.stride == stride), key=lambda h: h.channels)
        channels = [h.channels for h in here]
        guesses |= _roles_of_one_stride(here, channels, len(strides) > 1)
    return guesses


def _roles_of_one_stride(here: list[Head], channels: list[int], several: bool) -> dict[str, str]:
    if len(channels) == 3 and channels[2] == channels[0] + channels[1]:  # the first two, joined
        here, channels = here[:2], channels[:2]
    if several and len(channels) in (2, 3) and channels[0] <= 80 and 4 in channels[:2]:
        boxes = channels.index(4)
        roles = {here[boxes].name: "boxes", here[1 - boxes].name: "scores"}
        return roles | ({here[2].name: "keypoints"} if len(channels) == 3 else {})
    if several and len(channels) == 3 and channels[2] % 4 == 0 and channels[1] % 3 == 0:
        return {here[0].name: "scores", here[1].name: "keypoints", here[2].name: "boxes"}
    # more than one, since CenterNet has two maps of two channels
    points = [c for c in channels if c > 1 and channels.count(2 * c) == 2]
    if 1 in channels and points:
        roles = {h.name: "heatmaps" for h in here if h.channels == points[0]}
        roles |= {h.name: "centre" for h in here if h.channels == 1}
        pair = [h.name for h in here if h.channels == 2 * points[0]]
        return roles | dict(zip(pair, ("regress", "offset"), strict=True))
    outputs = [h for h in here if not h.inner]
    if len(set(channels)) == 1 and not several and outputs:  # stages that look again: the last one counts
        return {outputs[-1].name: "heatmaps"}
    if len(here) == 1 and not several:
        return {here[0].name: "heatmaps"}
    if len(here) == 2 and channels[1] % 2 == 0 and not several:
        return {here[0].name: "heatmaps", here[1].name: "pafs"}
    return {}


def draft_of(path: Path, found: FileDescription) -> str:
    """The beginning of a card for a file, with a word on the card that it may have inside."""
    text = as_text(path.stem, found)
    try:
        card = read_card(path)
    except CardError:
        return text
    return (
        f"# It has a card inside, of {card.name}, which python -m quant.card FILE prints and an export of it takes.\n"
        f"# The guesses that follow may contradict it.\n{text}"
    )


def as_text(name: str, found: FileDescription) -> str:
    """What the file holds, and the beginning of its card in TOML."""
    draft = guess(found)
    width, height = found.size
    lines = [f"# {found.kind}"]
    lines += [f"# input   {line}" for line in found.inputs]
    lines += [f"# output  {line}" for line in found.outputs]
    lines += [
        "# Candidate heads follow; where some have a role, the others are commented out. Lines with ? are yours.",
        "", f"name = {_quoted(name)}", "", "[input]", f"width = {width}", f"height = {height}",
        'channels = "rgb"  # ? or "bgr"', "mean = [0.0, 0.0, 0.0]  # ? (value - mean) * scale, value in 0..255",
        "scale = [1.0, 1.0, 1.0]" if found.whole else f"scale = [{', '.join([str(1 / 255)] * 3)}]  # ?",
        f'fit = "{draft.fit}"  # ? "letterbox": the whole picture; "crop": one person cut out of it',
        "", "[skeleton]", *_skeleton(draft),
    ]  # fmt: skip
    for head in found.heads:
        block = _output(head, draft, found.kind.startswith("TFLite"))
        lines += (
            ["", *(f"# {line}" for line in block)]
            if draft.roles and head.name not in draft.roles
            else ["", *block]
        )
    lines += ["", "[decoder]", f'kind = "{draft.kind}"{GUESS}' if draft.kind else UNKNOWN, *draft.settings]
    return "\n".join(lines)


def _skeleton(draft: Draft) -> list[str]:
    """Names for as many keypoints as there are channels: COCO's where they are 17."""
    known = draft.keypoints == len(KEYPOINTS)
    names = KEYPOINTS if known else tuple(f"keypoint{i}" for i in range(draft.keypoints))
    remark = "names, in the order of the channels"
    if draft.kind == "boxes":
        remark = "none: it finds boxes alone"
    elif known:
        remark += "; a guess: COCO's"
    return [
        f"keypoints = [{', '.join(map(_quoted, names))}]  # ? {remark}",
        "edges = []  # ? bones to draw, as [0, 1]",
    ]


def _output(head: Head, draft: Draft, tflite: bool) -> list[str]:
    role = draft.roles.get(head.name)
    lines = ["[[outputs]]", f"name = {_quoted(head.name)}  # {list(head.shape)}"]
    lines.append(f'role = "{role or "?"}"' + (GUESS if role else ""))
    if head.stride:
        lines += [f"channels = {head.channels}", f"stride = {head.stride}"]
        return [*lines, 'axes = "chw"'] if tflite and head.axes == "chw" else lines
    if len(head.shape) != 3 or head.shape[0] != 1:
        lines[-1] += "  # neither a map nor rows: no decoder reads it"
        return lines
    rows, channels = head.shape[1:]
    axes = "rows"
    if role is None and channels > rows:
        rows, channels, axes = channels, rows, "columns"
        lines[-1] += (
            "  # decoded already? one such block for each of its parts, with channels, and first = ..."
        )
    return [*lines, f"channels = {channels}", "stride = 1", f'axes = "{axes}"', f"rows = {rows}"]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
