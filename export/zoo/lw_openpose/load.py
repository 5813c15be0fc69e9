"""Published weights of Lightweight OpenPose in its PyTorch module, for training."""

from __future__ import annotations

from export.weights.find import Weights
from export.weights.module import load_state
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.weights import LATER, find_form, notes_of
from export.zoo.lw_openpose.widths import PUBLISHED, Widths


def load_lw_openpose(weights: Weights, widths: Widths = PUBLISHED) -> tuple[LwOpenPose, float, list[str]]:
    """Build the graph that the weights were trained for, and load it.

    Parameters
    ----------
    weights : Weights
    widths : Widths
        Widths; only weights as a state_dict can have others than the published.

    Returns
    -------
    net : LwOpenPose
        In evaluation mode.
    scale : float
        Scale of the input: the network sees ``(value - 128) * scale``.
    notes : list of str
        What the user should know: the graph, what was left out on purpose.
    """
    read = find_form(weights)
    net = LwOpenPose(read.form, widths=widths)
    left_out = load_state(net, read.state, weights.source, LATER)
    return net, read.scale, notes_of(read.form, left_out)
