"""ComfyUI: the only file that touches it. Schemas, models in its memory, batches with progress,
folders.

Facts of the host that the code leans on are told where they are used; the least version is 0.3.48.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..comfyui_motion import MotionModel
from ..comfyui_motion.memory import bytes_needed, in_parts

try:
    from comfy_api.v0_0_2 import ComfyExtension, io
except ImportError:  # a host that has dropped that number
    from comfy_api.latest import ComfyExtension, io

__all__ = ["ComfyExtension", "io"]

if TYPE_CHECKING:  # where there is no host to read, what comes from it may be anything

    def __getattr__(name: str) -> Any: ...


T = TypeVar("T")
FOLDER = "motion"
EXTENSIONS = {
    ".safetensors",
    ".pth",
    ".pt",
    ".ckpt",
    ".tar",
}  # the host sees vox-cpk.pth.tar as .tar
log = logging.getLogger("comfyui_motion")


# Schemas


def schema(**fields: Any) -> io.Schema:
    """A node's schema, less what this host's does not have (search_aliases, ...): an unknown name
    would take the whole pack down.
    """
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def advanced(widget: Any) -> Any:
    """The input, folded away until advanced inputs are asked for."""
    if hasattr(widget, "advanced"):
        widget.advanced = True
    else:
        widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    return widget


def tell(node_id: str | None, text: str) -> None:
    """Words shown on the node itself, where the page can."""
    with suppress(ImportError, AttributeError):
        from server import PromptServer

        PromptServer.instance.send_progress_text(text, node_id)


@contextmanager
def told(node_id: str | None) -> Iterator[None]:
    """What the library warns of meanwhile, on the node too."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: tell(node_id, record.getMessage())
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


# Models


class Holder(nn.Module):
    """What the host moves from device to device.

    It sets `device` on it, which a MotionModel only tells.
    """

    def __init__(self, model: MotionModel) -> None:
        super().__init__()
        self.model = model
        self.device = None

    def get_dtype(self) -> torch.dtype:
        return self.model.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class HostedModel:
    """A model in the host's care: what CM_MODEL carries. `model` may lie on any device; `ready`
    brings it.
    """

    model: MotionModel
    patcher: ModelPatcher

    @staticmethod
    def of(model: MotionModel) -> HostedModel:
        return HostedModel(
            model,
            ModelPatcher(
                Holder(model),
                load_device=mm.get_torch_device(),
                offload_device=mm.unet_offload_device(),
            ),
        )

    def ready(self, frames: int = 1) -> MotionModel:
        """The model on the device it runs on, with room made for so many frames at once: what lies
        there may have to go.
        """
        room = bytes_needed(self.model, frames)
        mm.load_models_gpu([self.patcher], memory_required=room, force_full_load=True)
        return self.model.to(
            self.patcher.load_device
        )  # --novram loads part by part, which plain layers cannot run with


def result_device() -> torch.device:
    return mm.intermediate_device()


# Work


class Progress:
    """The host's progress bar. Raises when the user has cancelled."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar = comfy.utils.ProgressBar(total)

    def __call__(self, done: int, picture: Tensor | None = None) -> None:
        """`picture`, C H W in 0..1, is shown while the work goes on."""
        mm.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(
            done, self.total, None if picture is None else ("JPEG", _thumbnail(picture), 512)
        )


def _thumbnail(picture: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray(
        (picture.float().clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().numpy()
    )


class Watched:
    """A clip's frames one by one, until the user cancels: for work that looks through all of them
    before its first result.
    """

    def __init__(self, frames: Tensor) -> None:
        self.frames, self.len_hint = frames, len(frames)

    def __iter__(self) -> Iterator[Tensor]:
        for frame in self.frames.split(1):
            mm.throw_exception_if_processing_interrupted()
            yield frame


def batches(
    work: Callable[[slice], T], total: int, size: int, show: Callable[[T], Tensor] | None = None
) -> Iterator[T]:
    """work(slice) for `total` frames, `size` at a time and fewer when memory runs out, in order.

    `show` picks a picture C H W to look at.
    """
    progress, done = Progress(total), 0

    def attempt(frames: range) -> tuple[int, T]:
        return len(frames), work(slice(frames.start, frames.stop))

    while done < total:
        progress(done)
        batch = range(done, min(done + size, total))
        for count, result in in_parts(attempt, batch, mm.get_torch_device()):
            size = size if count == len(batch) else max(1, min(size, count))
            done += count
            progress(done, None if show is None else show(result))
            yield result


# Files


def add_model_folder() -> None:
    """models/motion, beside the folders the user's yaml may have named."""
    folder = os.path.join(folder_paths.models_dir, FOLDER)
    with suppress(OSError):
        os.makedirs(folder, exist_ok=True)
    folder_paths.add_model_folder_path(FOLDER, folder)
    folder_paths.folder_names_and_paths[FOLDER][1].update(
        EXTENSIONS
    )  # an empty set would list every file


def model_files() -> list[str]:
    return folder_paths.get_filename_list(FOLDER)


def model_path(name: str) -> str | None:
    """Where a listed file lies, None when there is none of that name."""
    return folder_paths.get_full_path(FOLDER, name)
