"""Devices by name: which are there, and which is the best of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .errors import InputError

MOST_WORKERS = 256  # on one machine


def available() -> list[str]:
    """What can be named: "cpu", and every GPU that PyTorch can use here."""
    named = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    named += [f"xpu:{i}" for i in range(torch.xpu.device_count())] if hasattr(torch, "xpu") else []
    return named + ["mps"] * torch.backends.mps.is_available()


def best_device() -> torch.device:
    """A GPU where there is one."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_of(name: torch.device | str | None) -> torch.device:
    """The device of that name, the best one for None. Raises InputError where it is not there."""
    if name is None:
        return best_device()
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not _is_there(device):
        raise InputError(
            f"There is no device {str(name)!r} here; there are {', '.join(available())}."
        )
    return device


def shared_out(named: Sequence[str], workers: int | None) -> list[str]:
    """One device for each worker: those that are named, else every GPU of CUDA, else the CPU, in
    turn. `workers` None: one for each device. Raises InputError.
    """
    if workers is not None and workers < 1:
        raise InputError(f"There must be 1 worker or more, and {workers} were asked for.")
    if workers is not None and workers > MOST_WORKERS:
        raise InputError(
            f"{workers} workers were asked for, each a process with the whole model; {MOST_WORKERS}"
            " are the most that are started."
        )
    for name in named:
        device_of(name)
    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    devices = list(named) or there or ["cpu"]
    return [devices[i % len(devices)] for i in range(workers or len(devices))]


def _is_there(device: torch.device) -> bool:
    if device.type in ("cpu", "meta"):  # meta holds shapes alone, and is everywhere
        return True
    return any(name in (str(device), f"{device}:0") for name in available())
