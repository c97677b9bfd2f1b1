"""Team: processes that train one detector together, each on its part of every batch.

All of them draw the same batches, and take the same steps. What they exchange are sums: of
gradients, of losses, and of what batch norms take the mean of.
"""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

Item = TypeVar("Item")

# How long a process waits for the others: longer than the first of them takes to score the
# validation set and to store a checkpoint, while the others wait for its next step.
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Team:
    """The place of this process in its team; alone, it has all the work.

    rank  0 to size - 1; the process of rank 0 scores, saves and reports
    """

    rank: int = 0
    size: int = 1

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of items: every size-th; all, if they are fewer than processes.

        What all have counts as often as there are processes, which changes no mean.
        """
        return items[self.rank :: self.size] if len(items) >= self.size else items

    def least(self, items: int) -> int:
        """The number of items in the smallest share of so many."""
        return items // self.size if items >= self.size else items

    def add(self, tensor: Tensor) -> Tensor:
        """Adds up the tensors of all processes, in place; all get the sum."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any] | None:
        """The values of all processes by rank, in that of rank 0; None in the others."""
        if self.size == 1:
            return [value]
        values = [None] * self.size if self.rank == 0 else None
        distributed.gather_object(value, values)
        return values

    def add_gradients(self, model: nn.Module, sums: Mapping[str, Tensor], count: int) -> "Total":
        """Adds up the gradients of all processes, and their sums of losses and counts.

        A parameter that no process has a gradient of keeps none: its optimizer leaves it alone.
        """
        parameters = list(model.parameters())
        has_gradient = [float(weight.grad is not None) for weight in parameters]
        facts = torch.tensor([count, *has_gradient], dtype=torch.float64)
        losses = torch.stack(list(sums.values())).double()
        numbers = self.add(torch.cat([facts.to(losses.device), losses]))
        flags = numbers[1 : len(facts)].tolist()
        trained = [weight for weight, flag in zip(parameters, flags, strict=True) if flag]
        self._add_all([_gradient(weight) for weight in trained])
        added = numbers[len(facts) :].to(torch.float32)
        return Total(sums=dict(zip(sums, added, strict=True)), count=int(numbers[0]))

    def _add_all(self, tensors: Sequence[Tensor]) -> None:
        """Adds up tensors, in place, by one exchange for all."""
        together = self.add(torch.cat([tensor.flatten() for tensor in tensors]))
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, part in zip(tensors, together.split(sizes), strict=True):
            tensor.copy_(part.view(tensor.shape))


ALONE = Team()


@dataclass(frozen=True)
class Total:
    """Sums of losses over all processes, and the number of their terms."""

    sums: dict[str, Tensor]
    count: int


@contextmanager
def connection(meeting: Path, team: Team, device: torch.device) -> Iterator[Team]:
    """Connects this process to its team, whose processes all run on this machine.

    They meet in a file, and exchange data on the loopback interface: nothing listens to others.

    meeting  a new file in a folder that all of them can write
    """
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ[variable] = loopback
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=distributed.FileStore(str(meeting), team.size),
        rank=team.rank,
        world_size=team.size,
        timeout=_PATIENCE,
    )
    yield team
    # Only after work without an error: otherwise it might wait for processes that are gone.
    distributed.destroy_process_group()


def interrupt_exchange() -> None:
    """Ends an exchange on GPUs that waits for a process that is gone.

    On CPUs it ends by itself when the connection is closed.
    """
    if distributed.is_initialized() and torch.cuda.is_initialized():
        distributed.distributed_c10d._abort_process_group()


def _gradient(weight: nn.Parameter) -> Tensor:
    """The gradient of a parameter; a new one of zeros if this process has none."""
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
