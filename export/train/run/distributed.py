"""One process or several: torchrun's settings, and the division of a batch."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import nn

from rpi_runtime.errors import UsageError

PATIENCE = timedelta(hours=12)  # the others wait for this long while the first process measures


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The index of this process among `count`."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files and reports to the user."""
        return self.index == 0

    def share(self, batch: int) -> range:
        """Return this process's samples of each batch."""
        if batch % self.count:
            raise UsageError(f"a batch of {batch} cannot be shared by {self.count} processes")
        part = batch // self.count
        return range(self.index * part, (self.index + 1) * part)

    def wrap(self, net: nn.Module) -> nn.Module:
        """Return the network with gradients that are averaged over the processes."""
        return net if self.count == 1 else nn.parallel.DistributedDataParallel(net)

    def agree(self, yes: bool) -> bool:
        """Return the first process's value in every process, because their clocks differ."""
        if self.count == 1:
            return yes
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        said = torch.tensor([yes], dtype=torch.uint8, device=device)
        torch.distributed.broadcast(said, 0)
        return bool(said.item())

    def wait(self) -> None:
        """Wait until every process has arrived."""
        if self.count > 1:
            torch.distributed.barrier()


def join(device: str) -> Workers:
    """Join the other processes of torchrun, if there are any."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Workers()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # then "cuda" is the device of this process
    torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl", timeout=PATIENCE)
    atexit.register(torch.distributed.destroy_process_group)
    return Workers(index=torch.distributed.get_rank(), count=count)
