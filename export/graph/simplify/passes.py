"""Run all edits in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from export.graph.simplify.activations import fuse_clamps, lift_clamps, write_out_clamps
from export.graph.simplify.affine import fold_into_next, fold_into_previous, join_affine
from export.graph.simplify.arranging import join_reshapes, merge_pads, share_equals
from export.graph.simplify.beside import fold_known_channels, write_out_known_parts
from export.graph.simplify.constants import drop_neutral, join_factors, join_sums
from export.graph.simplify.forward import fold_channels_into_next
from export.graph.simplify.orders import fold_orders
from export.graph.simplify.pads import fold_pads
from quant.tflite.records import Model

ROUNDS = 8  # one edit makes another possible; a few rounds suffice, and the bound ends them in any case
PASSES: dict[str, Callable[[Model], int]] = {
    "work done once": share_equals,
    "reshapes joined": join_reshapes,
    "ones and zeros dropped": drop_neutral,
    "sums of constants joined": join_sums,
    "factors of one product joined": join_factors,
    "pads joined": merge_pads,
    "pads moved into convolutions": fold_pads,
    "factors and offsets folded": fold_into_previous,
    "factors folded forward": fold_into_next,
    "channels' factors and offsets folded forward": fold_channels_into_next,
    "orders of channels folded": fold_orders,
    "constant channels folded": fold_known_channels,
    "clamps fused": fuse_clamps,
    "clamps lifted": lift_clamps,
}
LAST: dict[str, Callable[[Model], int]] = {
    "constants beside values written out": write_out_known_parts,
    "factors and offsets as one convolution": join_affine,
    "clamps written out": write_out_clamps,
}


def simplify(model: Model) -> Counter[str]:
    """Edit a model in place; return the number of changes of each edit."""
    done: Counter[str] = Counter()
    model.drop_unused()
    for _ in range(ROUNDS):
        found = Counter({name: edit(model) for name, edit in PASSES.items()})
        done += found
        if not any(found.values()):
            break
    done += Counter({name: edit(model) for name, edit in LAST.items()})
    return done
