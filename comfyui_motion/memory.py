"""How many frames a device holds at a time, and what is done when it turns out to hold fewer: the
one place where running out of memory is dealt with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from .doors.words import logger
from .errors import MotionError
from .model import MotionModel

T = TypeVar("T")
BYTES_PER_PIXEL = 2500  # of one frame at the model's size, in float32: the widest family's layers
LARGE = 1 << 20  # pixels: of larger pictures a CPU works on fewer at a time
MOST = 32  # frames: more at a time are not faster
SAYS = (  # as the allocators of CPUs, of Apple's GPUs and of OpenCV put it
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "insufficient memory",
    "invalid buffer size",
)
log = logger()


def bytes_needed(model: MotionModel, frames: int) -> int:
    """What computing so many frames at once takes, beside the weights."""
    return frames * BYTES_PER_PIXEL * model.size**2 * model.dtype.itemsize // 4


def frames_at_once(model: MotionModel, pixels: int | None = None) -> int:
    """As many as the device runs fastest with: on a CPU what its family says, on a GPU as many as
    half of its free memory holds, up to 32.

    pixels  of the frames that are made, where it is known: of large ones fewer are held on a CPU
    """
    free = free_memory(model.device)
    if free is None:
        fit = model.at_once if pixels is None else LARGE * model.at_once // max(pixels, 1)
        return max(1, min(model.at_once, fit))
    return max(1, min(MOST, int(free * 0.5 / (model.size**2 * BYTES_PER_PIXEL))))


def free_memory(device: torch.device) -> int | None:
    """Bytes; None where the device does not tell, or shares the computer's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the computer, had no memory left. PyTorch has an exception of its own
    for CUDA's alone.
    """
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    said = str(error).lower()
    return not isinstance(error, MotionError) and any(words in said for words in SAYS)


def no_room(model: MotionModel, source: Any = None) -> str:
    """What to say where not even one frame fits."""
    size = ""
    if isinstance(source, torch.Tensor) and source.ndim == 4:
        height, width = source.shape[-2:]
        size = f" of {width}x{height}"
        size += f"; {width // 2}x{height // 2} takes a quarter of that"
    return (
        f"Memory ran out on {model.device.type} over a single frame{size}. Make the picture"
        " smaller,"
        ' take the size "model", or close what else is running.'
    )


def release(device: torch.device) -> None:
    """Gives back the memory of a device that PyTorch holds without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def in_parts(
    work: Callable[[Any], T], batch: Any, device: torch.device | None = None
) -> Iterator[T]:
    """What `work` makes of a batch, or of its halves, or of theirs, as far as the memory of the
    device asks for it.

    batch  what has a length and slices: tensors, or a range of frame numbers

    Raises what `work` raises, and running out of memory over a single frame.
    """
    made = _attempt(work, batch)
    if made is not None:
        yield made.pop()
        return
    middle = (len(batch) + 1) // 2
    log.warning("Out of memory: going on with %d frames at a time.", middle)
    release(device or torch.device("cpu"))
    for half in (batch[:middle], batch[middle:]):
        yield from in_parts(work, half, device)


def _attempt(work: Callable[[Any], T], batch: Any) -> list[T] | None:
    """The one thing made; None where memory runs out, and fewer frames can be tried. On return the
    exception is gone, and with it the tensors that its frames hold.
    """
    try:
        return [work(batch)]
    except Exception as error:
        if len(batch) == 1 or not is_out_of_memory(error):
            raise
    return None
