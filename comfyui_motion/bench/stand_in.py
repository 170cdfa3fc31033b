"""A GPU where there is none: tensors that lie on the CPU and say that they do not.

Under a `StandIn` whatever is made on, or moved to, `DEVICE` behaves towards the program as on a
GPU: it cannot be mixed with tensors of the CPU, NumPy does not see it, and each time that the
processor would have to wait for a GPU is counted, with the line of the library that waits. Numbers
are the CPU's, so what comes out can be compared.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # the one device that every PyTorch has besides the CPU
aten = torch.ops.aten
COPIES = (aten._to_copy, aten.to)
PLACES = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
MEASURED = (  # how large what they give is, or what it is, the processor must know
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten.is_nonzero,
    aten.unique_dim,
    aten.unique_consecutive,
    aten._unique2,
)
MIXED = (*COPIES, *PLACES, aten.copy_)  # may be given tensors of both devices


class OnDevice(Tensor):
    """A tensor of the stand-in; `inner` holds its numbers."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    @property
    def is_meta(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return False  # it has numbers

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func}: a tensor of the stand-in outside of it.")

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"OnDevice({tuple(self.shape)}, {self.dtype})"


class _Made(TorchFunctionMode):
    """Tensors made of numbers, which PyTorch would make without any on this device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], OnDevice):
            like, *args = args
            return torch.tensor(*args, **{"dtype": like.dtype, **kwargs}).to(DEVICE)
        if func in (torch.tensor, torch.as_tensor) and _is_ours(kwargs.get("device")):
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        return func(*args, **kwargs)


class StandIn(TorchDispatchMode):
    """As a context; `waits` counts (what is waited for, file:line of the library)."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()
        self.makes = _Made()
        self.threads = 1

    @property
    def waited(self) -> int:
        """How often the processor would have waited for a GPU."""
        return self.waits.total()

    def __enter__(self) -> StandIn:
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a mode is one thread's own: nothing may be done on another
        self.makes.__enter__()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self.makes.__exit__(*raised)
        torch.set_num_threads(self.threads)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind, kwargs = func.overloadpacket, dict(kwargs or {})
        if func is aten.to.other:
            func, args = aten.to.device, (args[0], args[1].device, args[1].dtype, *args[2:])
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        ours = [one for one in given if isinstance(one, OnDevice)]
        if ours and kind not in MIXED:
            self._check(func, given)
        wanted = next(
            (x for x in (kwargs.get("device"), *args) if isinstance(x, torch.device)), None
        )
        onto = bool(ours) if wanted is None else _is_ours(wanted)
        if kind is aten.copy_:
            onto = isinstance(args[0], OnDevice)
        self._count(kind, args, kwargs, ours, onto)
        known = {id(one.inner): one for one in ours}
        with torch.inference_mode(False), torch.no_grad():
            made = func(*tree_map(_plain, args), **tree_map(_plain, kwargs))
            return tree_map(lambda one: _ours(one, known) if onto else one, made)

    def _check(self, func: Any, given: list[Tensor]) -> None:
        """As a GPU does: single numbers of the CPU alone may be mixed with what it holds."""
        strange = [one for one in given if not isinstance(one, OnDevice) and one.ndim]
        if strange:
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {func} is given {len(given)}, of"
                f" which one of {tuple(strange[0].shape)} is on the CPU ({_place()})."
            )

    def _count(self, kind: Any, args: Any, kwargs: Any, ours: list[Any], onto: bool) -> None:
        if kind in MEASURED and ours:
            self._wait(str(kind))
        elif kind in COPIES and onto != isinstance(args[0], OnDevice):
            self._copy(onto, kwargs.get("non_blocking", False))
        elif kind is aten.copy_ and isinstance(args[1], OnDevice) != onto and args[1].ndim:
            self._copy(onto, kwargs.get("non_blocking", len(args) > 2 and args[2]))
        elif kind in PLACES and ours:
            indices = [one for one in args[1] if one is not None]
            if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
                self._wait("mask")
            elif not all(isinstance(one, OnDevice) for one in indices):
                self._wait("copy")
        elif kind is aten.repeat_interleave and ours and kwargs.get("output_size") is None:
            self._wait(str(kind))

    def _copy(self, onto: bool, without_waiting: bool) -> None:
        if not without_waiting:
            self._wait("to the device" if onto else "to the CPU")

    def _wait(self, what: str) -> None:
        self.waits[what, _place()] += 1


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _plain(value: Any) -> Any:
    """As the CPU takes it."""
    if isinstance(value, OnDevice):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _ours(made: Any, known: dict[int, OnDevice]) -> Any:
    if not isinstance(made, Tensor):
        return made
    return known[id(made)] if id(made) in known else OnDevice(made)


def _place() -> str:
    """The line of the library that is at work."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if "comfyui_motion" in file and file != __file__:
            return f"{file.rpartition('comfyui_motion/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
