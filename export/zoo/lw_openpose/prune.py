"""Start a narrower network from a trained one: keep the channels from which the others can be told.

Every place where channels live keeps a subset, chosen greedily so that a linear guess of all channels from the
kept ones costs the readers least, and the readers take that guess into their weights (channel pruning with
least-squares reconstruction; He et al. 2017, arXiv:1707.06168). Channels are then brought to one size, which
changes nothing but what an optimizer that moves all weights alike sees. Where the small network is separable, each 3x3
kernel becomes the nearest product of a depthwise and a 1x1 one. `export.zoo.lw_openpose.rebuild` then repairs the
layers one after the other. The result is a start, not a network: training has to do the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from export.zoo.lw_openpose.module import BLOCKS, INITIAL, LwOpenPose
from export.zoo.lw_openpose.rebuild import rebuild
from export.zoo.lw_openpose.widths import HEATMAPS, PAFS, Widths

State = dict[str, Tensor]
LOOKED_AT = 12  # pictures for the choice of channels
RIDGE = 1e-3  # of a channel's energy; keeps near-copies from giving huge weights


@dataclass(frozen=True, slots=True)
class ChannelReader:
    """A convolution that reads channels.

    Attributes
    ----------
    name : str
    start : int
        Where they start in its input.
    """

    name: str
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One set of channels, by the names of modules.

    Attributes
    ----------
    keep : int
        How many stay.
    producers : tuple of str
        Convolutions that write it.
    readers : tuple of ChannelReader
        Convolutions that read it.
    depthwise : str
        The convolution, if any, that works on each of its channels alone before any are read.
    rectified : bool
        Whether channels are rectified, so that they can be rescaled.
    """

    keep: int
    producers: tuple[str, ...]
    readers: tuple[ChannelReader, ...]
    depthwise: str = ""
    rectified: bool = True


def spaces(widths: Widths) -> list[Space]:
    """List the channel sets of a network of the ``omz`` form, in the order of the data."""
    rows, units = widths.backbone, len(widths.backbone)
    producers = ["model.0.0", *(f"model.{i}.2" for i in range(1, units + 1))]
    found = [_unit(rows[i][0], producers[i], f"model.{i + 1}") for i in range(units)]
    last = Space(keep=rows[-1][1], producers=(producers[-1],), readers=(ChannelReader("cpm.align.0"),))
    return [*found, last, *_context(widths), *_initial(widths), *_refinement(widths)]


def _unit(keep: int, producer: str, unit: str, *, rectified: bool = True) -> Space:
    """Channels that a depthwise-separable unit takes in."""
    readers = (ChannelReader(f"{unit}.2"),)
    return Space(
        keep=keep, producers=(producer,), readers=readers, depthwise=f"{unit}.0", rectified=rectified
    )


def _writer(unit: str, widths: Widths) -> str:
    """The convolution of a 3x3 unit behind the backbone that writes; its first one reads."""
    return f"{unit}.{1 if widths.separable else 0}"


def _context(widths: Widths) -> list[Space]:
    width = widths.features
    producers = ("cpm.align.0", "cpm.trunk.2.2")
    readers = (ChannelReader("cpm.reduce.0"), ChannelReader("cpm.conv.0"))
    outside = Space(keep=width, producers=producers, readers=readers, rectified=False)
    chain = enumerate(("cpm.reduce.0", "cpm.trunk.0.2", "cpm.trunk.1.2"))
    return [outside, *(_unit(width, producer, f"cpm.trunk.{i}", rectified=False) for i, producer in chain)]


def _initial(widths: Widths) -> list[Space]:
    stage, width = "initial_stage", widths.features
    refinement = ChannelReader("refinement_stages.0.trunk.0.initial.0", HEATMAPS + PAFS)
    readers = (ChannelReader(f"{stage}.trunk.0.0"), refinement)
    found = [Space(keep=width, producers=(_writer("cpm.conv", widths),), readers=readers)]
    for i in range(INITIAL):
        after = _heads(stage) if i == INITIAL - 1 else (ChannelReader(f"{stage}.trunk.{i + 1}.0"),)
        producers = (_writer(f"{stage}.trunk.{i}", widths),)
        found.append(Space(keep=width, producers=producers, readers=after))
    return [*found, *_hidden(stage, widths.hidden)]


def _refinement(widths: Widths) -> list[Space]:
    stage, width = "refinement_stages.0", widths.refinement
    found = []
    for i in range(BLOCKS):
        block = f"{stage}.trunk.{i}"
        after = _heads(stage) if i == BLOCKS - 1 else (ChannelReader(f"{stage}.trunk.{i + 1}.initial.0"),)
        inside = ChannelReader(f"{block}.trunk.0.0")
        producers = (f"{block}.initial.0", _writer(f"{block}.trunk.1", widths))
        found.append(Space(keep=width, producers=producers, readers=(inside, *after)))
        middle = (ChannelReader(f"{block}.trunk.1.0"),)
        found.append(Space(keep=width, producers=(_writer(f"{block}.trunk.0", widths),), readers=middle))
    return [*found, *_hidden(stage, width)]


def _heads(stage: str) -> tuple[ChannelReader, ...]:
    return ChannelReader(f"{stage}.heatmaps.0.0"), ChannelReader(f"{stage}.pafs.0.0")


def _hidden(stage: str, keep: int) -> list[Space]:
    heads = (f"{stage}.heatmaps", f"{stage}.pafs")
    return [Space(keep=keep, producers=(f"{h}.0.0",), readers=(ChannelReader(f"{h}.1.0"),)) for h in heads]


def prune(large: LwOpenPose, small: LwOpenPose, pictures: Tensor) -> None:
    """Load `small` with what `large` leaves it.

    Parameters
    ----------
    large, small : LwOpenPose
        Both of the ``omz`` form, the large one not separable.
    pictures : Tensor, shape (N, 3, H, W), float32
        Inputs of both.
    """
    state = {k: v.detach().clone().double() for k, v in large.state_dict().items()}
    plan = spaces(replace(small.widths, separable=False))
    moments, energy = _observe(large, plan, pictures[:LOOKED_AT])
    made: dict[str, tuple[Tensor, Tensor]] = {}
    for space in plan:
        made |= _apply(state, space, moments, energy)
    counterparts = _separate(state, small) if small.widths.separable else {}
    small.load_state_dict({k: state[k].to(v.dtype) for k, v in small.state_dict().items()})
    rebuild(large, small, made, counterparts, pictures)


def _separate(state: State, small: LwOpenPose) -> dict[str, str]:
    """Factor the dense 3x3 kernels of `state` for a separable network.

    Each input channel's kernels for all outputs, a matrix, become their best approximation of rank one.

    Returns
    -------
    dict
        For each convolution that was one half of a dense one: that one's name for the 1x1, "" for the depthwise.
    """
    counterparts: dict[str, str] = {}
    for name, half in small.named_modules():
        dense = state.get(f"{name}.weight")
        if not isinstance(half, nn.Conv2d) or dense is None or half.groups == 1 or dense.shape[1] == 1:
            continue
        left, size, right = torch.linalg.svd(dense.flatten(2).transpose(0, 1), full_matrices=False)
        root = size[:, 0].sqrt()
        pointwise = f"{name.removesuffix('0')}1"
        state[f"{pointwise}.weight"] = (left[:, :, 0] * root[:, None]).T[:, :, None, None]
        state[f"{pointwise}.bias"] = state[f"{name}.bias"]
        state[f"{name}.weight"] = (right[:, 0] * root[:, None]).unflatten(1, dense.shape[2:])[:, None]
        state[f"{name}.bias"] = torch.zeros(len(root), dtype=torch.float64)
        counterparts |= {name: "", pointwise: name}
    return counterparts


def _observe(
    large: LwOpenPose, plan: list[Space], pictures: Tensor
) -> tuple[dict[ChannelReader, Tensor], State]:
    """Look at the large network at work.

    Returns
    -------
    moments : dict
        (n + 1, n + 1) for each reader: mean second moments of its channels, with a last one that is always 1.
    energy : dict
        (n,) for each depthwise convolution: mean squares of what it takes in.
    """
    modules = dict(large.named_modules())
    inputs: State = {}

    def watch(name: str) -> RemovableHandle:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[name] = args[0]

        return modules[name].register_forward_pre_hook(hook)

    readers = [r for s in plan for r in s.readers]
    depthwise = [s.depthwise for s in plan if s.depthwise]
    handles = [watch(n) for n in {*(r.name for r in readers), *depthwise}]
    moments: dict[ChannelReader, Tensor] = {}
    energy: State = {}
    with torch.inference_mode():
        for picture in pictures.split(1):
            large(picture)
            for reader in readers:
                x = _pixels(inputs[reader.name][:, reader.start :])
                x = torch.cat((x, torch.ones_like(x[:1])))
                moments[reader] = moments.get(reader, 0) + x @ x.T / x.shape[1] / len(pictures)
            for name in depthwise:
                energy[name] = energy.get(name, 0) + (_pixels(inputs[name]) ** 2).mean(1) / len(pictures)
    for handle in handles:
        handle.remove()
    return moments, energy


def _pixels(maps: Tensor) -> Tensor:
    """(1, C, h, w) -> (C, h * w), float64."""
    return maps[0].flatten(1).double()


def _apply(
    state: State, space: Space, moments: dict[ChannelReader, Tensor], energy: State
) -> dict[str, tuple[Tensor, Tensor]]:
    """Cut one set of channels; returns, for its producers, which channels stay and what they are multiplied by."""
    readings = []
    for reader in space.readers:
        seen = moments[reader]
        kernel = state[f"{reader.name}.weight"][:, reader.start : reader.start + len(seen) - 1]
        readings.append((seen.clone(), torch.einsum("oiyx,ij->oyxj", kernel, seen[:-1]).flatten(0, 2)))
    kept = _choose(readings, space.keep)
    for reader in space.readers:
        _read_guess(state, reader, _guess(moments[reader], kept))
    for producer in (*space.producers, space.depthwise):
        if producer:
            for part in ("weight", "bias"):
                state[f"{producer}.{part}"] = state[f"{producer}.{part}"][kept]
    read = made = torch.ones(len(kept), dtype=torch.float64)
    if space.rectified:
        read = _size(moments[space.readers[0]].diagonal()[kept])
        made = _size(energy[space.depthwise][kept]) if space.depthwise else read
        _rescale(state, space, made, read)
    result = dict.fromkeys(space.producers, (kept, 1 / made))
    return result | ({space.depthwise: (kept, 1 / read)} if space.depthwise else {})


def _choose(readings: list[tuple[Tensor, Tensor]], keep: int) -> Tensor:
    """Greedy column choice: each time the channel that takes most off what the readers still miss.

    `readings` holds each reader's moments and what it makes of them, and is used up.
    """
    channels = len(readings[0][0]) - 1
    floors = [1e-9 * float(e.diagonal()[:-1].mean()) + 1e-30 for e, _ in readings]
    for energy, missed in readings:
        _sweep(energy, missed, channels)  # the constant is always there: biases
    free = torch.ones(channels, dtype=torch.bool)
    for _ in range(min(keep, channels)):
        gain = torch.zeros(channels, dtype=torch.float64)
        for (energy, missed), floor in zip(readings, floors, strict=True):
            spread = energy.diagonal()[:-1]
            gain += torch.where(spread > floor, (missed[:, :-1] ** 2).sum(0) / spread.clamp_min(floor), 0.0)
        best = int(torch.where(free, gain, -1.0).argmax())
        free[best] = False
        for (energy, missed), floor in zip(readings, floors, strict=True):
            if float(energy[best, best]) > floor:
                _sweep(energy, missed, best)
    return torch.nonzero(~free)[:, 0]


def _sweep(energy: Tensor, readings: Tensor, pivot: int) -> None:
    """Take out of both what the pivot channel explains."""
    column, diagonal = energy[:, pivot].clone(), energy[pivot, pivot].clone()
    readings -= torch.outer(readings[:, pivot].clone(), column) / diagonal
    energy -= torch.outer(column, column) / diagonal


def _guess(moments: Tensor, kept: Tensor) -> Tensor:
    """(n, kept + 1): all channels from those that stay, and 1."""
    chosen = torch.cat((kept, torch.tensor([len(moments) - 1])))
    energy = moments[chosen][:, chosen].clone()
    energy.diagonal()[:-1].mul_(1 + RIDGE).clamp_min_(1e-9)  # a channel that is never awake
    return moments[:-1, chosen] @ torch.linalg.inv(energy)


def _read_guess(state: State, reader: ChannelReader, guess: Tensor) -> None:
    kernel, start, width = state[f"{reader.name}.weight"], reader.start, len(guess)
    own = torch.einsum("oiyx,ij->ojyx", kernel[:, start : start + width], guess)
    state[f"{reader.name}.bias"] = state[f"{reader.name}.bias"] + own[:, -1].sum((1, 2))
    rest = kernel[:, start + width :]
    state[f"{reader.name}.weight"] = torch.cat((kernel[:, :start], own[:, :-1], rest), dim=1)


def _rescale(state: State, space: Space, made: Tensor, read: Tensor) -> None:
    """Bring each channel to a root mean square of 1 where it is made and where it is read."""
    for reader in space.readers:
        state[f"{reader.name}.weight"][:, reader.start : reader.start + len(read)] *= read[:, None, None]
    if space.depthwise:
        state[f"{space.depthwise}.weight"] *= (made / read)[:, None, None, None]
        state[f"{space.depthwise}.bias"] /= read
    for producer in space.producers:
        state[f"{producer}.weight"] /= made[:, None, None, None]
        state[f"{producer}.bias"] /= made


def _size(energy: Tensor) -> Tensor:
    size = energy.clamp_min(0).sqrt()
    return torch.where(size > 1e-4, size, torch.ones_like(size))
