"""Do a network's outputs fit its decoder? What the settings of all decoders check."""

from __future__ import annotations

from collections.abc import Mapping

from rpi_runtime.errors import CardError

Pairs = tuple[tuple[int, int], ...]
Channels = Mapping[str, tuple[int, ...]]  # by role, the channels of its outputs, coarsest first


def check_one(channels: Channels, role: str, least: int) -> None:
    """Refuse more or fewer than one output with this role, or one of too few channels."""
    if len(channels[role]) != 1:
        raise CardError(f"expected one output with role {role!r}, got {len(channels[role])}")
    check_some(channels, role, least)


def check_some(channels: Channels, role: str, least: int) -> None:
    """Refuse no output with this role, or one of too few channels."""
    if not channels[role]:
        raise CardError(f"expected an output with role {role!r}, got none")
    if min(channels[role]) < least:
        raise CardError(f"{min(channels[role])} channels of {role} for {least} keypoints")


def check_exact(channels: Channels, role: str, wanted: tuple[int, ...], what: str) -> None:
    """Refuse outputs with this role whose channels are none of `wanted`."""
    if not channels[role]:
        raise CardError(f"expected an output with role {role!r}, got none")
    for found in channels[role]:
        if found not in wanted:
            raise CardError(
                f"{found} channels of {role}: expected {' or '.join(map(str, wanted))}, for {what}"
            )


def check_only(channels: Channels, roles: tuple[str, ...]) -> None:
    """Refuse outputs that the decoder has no use for."""
    extra = [role for role, found in channels.items() if found and role not in roles]
    if extra:
        raise CardError(
            f"outputs with role {', '.join(map(repr, extra))}: this decoder reads {', '.join(map(repr, roles))}"
        )


def check_pairs(pairs: Pairs, keypoints: int) -> None:
    """Refuse pairs that name a keypoint twice, or one that does not exist."""
    every = [i for pair in pairs for i in pair]
    if len(set(every)) != len(every) or any(not 0 <= i < keypoints for i in every):
        raise CardError(
            f"decoder flip_pairs {pairs}: expected keypoints 0 to {keypoints - 1}, each once at most"
        )
