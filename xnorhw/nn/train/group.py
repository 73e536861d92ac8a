"""Several processes that train one network: sums of gradients, means of statistics.

A batch is cut into ``shards`` parts, each with batch norms of its own statistics, whoever works on
them: two processes with a shard each and one process with two shards do the same arithmetic,
up to the order of the sums.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xnorhw.ir.errors import XnorhwError
from xnorhw.nn.said import said

__all__ = ["Group", "WorkerLost"]


class WorkerLost(XnorhwError):
    """Another process of the training is gone."""


@dataclass(frozen=True)
class Group:
    """This process (``rank`` of ``world``) and how many shards of each batch it works on."""

    rank: int = 0
    world: int = 1
    local: int = 1

    @classmethod
    def join(cls, shards: int | None, device: torch.device) -> Group:
        """The group that torchrun's environment describes; one process without it.

        ``shards``: parts of a batch in all; the number of processes if None.  Raises XnorhwError where
        the processes cannot share them evenly.
        """
        world = int(os.environ.get("WORLD_SIZE", "1"))
        rank = int(os.environ.get("RANK", "0"))
        total = world if shards is None else shards
        if total < 1 or total % world:
            raise XnorhwError(
                f"{total} shards cannot be shared by {world} processes evenly",
                module="--shards",
                remedy=f"Use a multiple of {world}",
            )
        if world > 1 and not dist.is_initialized():
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=timedelta(minutes=30))
        return cls(rank, world, total // world)

    @property
    def shards(self) -> int:
        """Parts of a batch, over all processes."""
        return self.world * self.local

    @property
    def mine(self) -> range:
        """The numbers of this process's shards."""
        return range(self.rank * self.local, (self.rank + 1) * self.local)

    @property
    def leads(self) -> bool:
        """True in the one process that writes files and prints."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, all in one message.

        Raises WorkerLost where another process is gone.
        """
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.detach().reshape(-1).to(torch.float32) for t in tensors])
        try:
            dist.all_reduce(flat)
        except RuntimeError as error:
            raise _lost(error) from None
        for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.detach().copy_(part.view_as(tensor))

    def share(self, content: bytes | None, device: torch.device) -> bytes | None:
        """The leader's ``content`` in every process."""
        if self.world == 1:
            return content
        size = torch.tensor([-1 if content is None else len(content)], device=device)
        try:
            dist.broadcast(size, 0)
            if int(size) < 0:
                return None
            data = torch.empty(int(size), dtype=torch.uint8, device=device)
            if content is not None and self.leads:
                data.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            dist.broadcast(data, 0)
        except RuntimeError as error:
            raise _lost(error) from None
        return data.cpu().numpy().tobytes()

    def leave(self) -> None:
        """End the group; nothing where there is none."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


class Statistics:
    """A network's buffers over the shards of a batch: each shard starts from the same, the mean is kept."""

    def __init__(self, net: nn.Module, group: Group) -> None:
        self._buffers = list(net.buffers()) if group.shards > 1 else []
        self._group = group
        self._start: list[Tensor] = []
        self._sums: list[Tensor] = []

    def begin(self) -> None:
        """Before the first shard of a batch."""
        self._start = [b.detach().clone() for b in self._buffers]
        self._sums = [torch.zeros_like(b) for b in self._buffers if b.is_floating_point()]

    def shard(self) -> None:
        """Before each shard's forward."""
        for buffer, start in zip(self._buffers, self._start, strict=True):
            buffer.detach().copy_(start)

    def seen(self) -> None:
        """After each shard's forward."""
        moved = [b for b in self._buffers if b.is_floating_point()]
        for total, buffer in zip(self._sums, moved, strict=True):
            total.add_(buffer.detach())

    def end(self) -> None:
        """After the last shard: the mean over all shards of all processes; counters count one batch."""
        if not self._buffers:
            return
        self._group.sum_(self._sums)
        moved = [b for b in self._buffers if b.is_floating_point()]
        for total, buffer in zip(self._sums, moved, strict=True):
            buffer.detach().copy_(total / self._group.shards)


def _lost(error: RuntimeError) -> WorkerLost:
    return WorkerLost(
        f"another process of this training is gone ({said(error)}); the epochs before this one are kept",
        module="train",
        remedy="Start all processes again with --resume",
    )
