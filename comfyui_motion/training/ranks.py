"""Training on several devices and machines: each process its share of every batch, gradients
averaged, one process writing.

A recipe's batch is the batch of all processes together, so that a run goes on with another number
of them. `torchrun --nproc-per-node 2 -m comfyui_motion train ...` starts them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .. import InputError
from ..data.pairs import Pairs, PairSource


@dataclass(frozen=True)
class Ranks:
    """How many processes train together, and which of them this one is."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and tells."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of a batch's pairs are this process's. Raises InputError."""
        if count % self.count:
            raise InputError(
                f"A batch of {count} pairs cannot be shared out among {self.count} processes; let"
                f" the recipe's batch be a multiple of {self.count}."
            )
        each = count // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def means(self, values: dict[str, float], device: torch.device) -> dict[str, float]:
        """Each value's mean over the processes."""
        if self.count == 1:
            return values
        told = torch.tensor(list(values.values()), dtype=torch.float64, device=_plain(device))
        dist.all_reduce(told)
        return dict(zip(values, (told / self.count).tolist(), strict=True))

    def any(self, said: bool, device: torch.device) -> bool:
        """Whether any of the processes says so."""
        if self.count == 1:
            return said
        told = torch.tensor(float(said), device=_plain(device))
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told)

    def together(self, network: nn.Module) -> Callable[[Callable[[], Any]], Any]:
        """Runs a function of the network so that its gradients will be averaged over the
        processes.
        """
        if self.count == 1:
            return lambda work: work()
        return DistributedDataParallel(
            Whole(network), broadcast_buffers=False, find_unused_parameters=True
        )


ALONE = Ranks()


def _plain(device: torch.device) -> torch.device:
    return device if device.type == "cuda" else torch.device("cpu")


class Whole(nn.Module):
    """A network as one call, whichever of its verbs the call is made of."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, work: Callable[[], Any]) -> Any:
        return work()


@dataclass(frozen=True)
class Share:
    """This process's part of each batch of another source."""

    pairs: PairSource
    ranks: Ranks

    def batch(self, step: int, count: int) -> Pairs:
        part = self.ranks.share(count)
        drawn = getattr(self.pairs, "part", None)  # where pairs can be read one by one
        return drawn(step, count, part) if drawn else self.pairs.batch(step, count)[part]


@contextmanager
def ranks_of_environment(device: str | None) -> Iterator[tuple[Ranks, str | None]]:
    """The processes that torchrun started, and this one's device; one process where it did not.

    Raises InputError for a device that cannot be shared out.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2:
        yield Ranks(), device
        return
    place = int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    if cuda and (device or "cuda") != "cuda":
        raise InputError(f"torchrun gives each process a GPU of its own; say cuda, not {device}.")
    if cuda:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Ranks(dist.get_rank(), count), f"cuda:{place}" if cuda else "cpu"
    finally:
        dist.destroy_process_group()


class Summed(torch.autograd.Function):
    """A sum over the processes; what flows back is summed likewise."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return Summed.forward(ctx, gradients[0])


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose statistics are those of all processes' batches together.

    PyTorch's own (SyncBatchNorm) runs on GPUs alone.
    """

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return super().forward(maps)
        wide = maps.float()
        count = wide.new_full((self.num_features,), wide.numel() / self.num_features)
        sums = torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count])
        total, squares, count = Summed.apply(sums)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        shift = (0 if self.bias is None else self.bias) - mean * scale
        return (wide * scale[:, None, None] + shift[:, None, None]).to(maps.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None  # it comes with the others
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def share_norms(model: nn.Module) -> None:
    """Every batch norm's statistics become those of all processes together. In place."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d
