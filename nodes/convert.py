"""The host's values and the library's.

IMAGE is B H W C, ours B C H W, both in 0..1. MASK is B H W, 1 = to inpaint or transparent, where
visibility is 1 = seen. Nothing given is written into.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..comfyui_motion import InputError
from ..comfyui_motion.framing.canvas import Box, box_of
from .checks import affordable

EVEN_TOO = (
    "Loses the last column or row of an odd size, as the frames do, so that they lie on one"
    " another."
)


def to_pictures(images: Tensor, name: str = "images") -> Tensor:
    """B H W C or H W C -> B C H W, a view. Raises InputError."""
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or not 1 <= images.shape[-1] <= 4 or not images.numel():
        raise InputError(
            f"{name} must be B H W C with 1 to 4 channels and at least one picture, and is"
            f" {' '.join(map(str, images.shape))}."
        )
    return _real(images, name).movedim(-1, 1)


def one_picture(images: Tensor | None, name: str) -> Tensor | None:
    """The first of some images, 1 C H W; None where none are connected. Raises InputError."""
    return None if images is None else to_pictures(images, name)[:1]


def to_images(pictures: Tensor) -> Tensor:
    """B C H W -> B H W C, float32"""
    return pictures.movedim(1, -1).float()


def to_maps(mask: Tensor, name: str = "mask") -> Tensor:
    """B H W or H W -> B 1 H W, a view. Raises InputError."""
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or not mask.numel():
        raise InputError(
            f"{name} must be B H W with at least one picture, and is"
            f" {' '.join(map(str, mask.shape))}."
        )
    return _real(mask, name)[:, None]


def _real(values: Tensor, name: str) -> Tensor:
    """Floats as they are, whole numbers and truth values as 0 and 1. Raises InputError."""
    if values.is_complex():
        raise InputError(f"{name} must hold real numbers, and holds complex ones.")
    return values if values.is_floating_point() else values.float()


def to_mask(maps: Tensor) -> Tensor:
    """B 1 H W -> B H W, float32"""
    return maps[:, 0].float()


def to_box(mask: Tensor | None, pictures: Tensor) -> Box | None:
    """The box round what the first mask of a batch marks in pictures B C H W; None without a mask,
    or with an empty one.
    """
    return None if mask is None else box_of(to_maps(mask)[:1], *pictures.shape[-2:])


def evened(pictures: Tensor, wanted: bool = True) -> Tensor:
    """Less the last row or column where there is an odd number of them: video needs even sizes. B C
    H W, a view
    """
    height, width = pictures.shape[-2:]
    if not wanted:
        return pictures
    return pictures[..., : height - height % 2 or height, : width - width % 2 or width]


def resized(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, antialiased where smaller. B C h w -> B C height width"""
    if maps.shape[-2:] == (height, width):
        return maps
    affordable("A mask", *maps.shape[:2], height, width)
    return F.interpolate(maps.float(), size=(height, width), mode="bilinear", antialias=True).clamp(
        0, 1
    )


def cut_out(pictures: Tensor, transparent: Tensor | None) -> Tensor:
    """Pictures B C H W with the alpha that a host's mask says, one for all or one for each;
    without one as they are. Raises InputError.
    """
    if transparent is None:
        return pictures
    maps = to_maps(transparent, "source_alpha")
    if len(maps) not in (1, len(pictures)):
        raise InputError(
            f"source_alpha has {len(maps)} masks for {len(pictures)} pictures; give one for each,"
            " or one."
        )
    alpha = 1 - resized(maps, *pictures.shape[-2:]).expand(len(pictures), -1, -1, -1)
    if pictures.shape[1] in (2, 4):
        alpha = alpha * pictures[:, -1:]
        pictures = pictures[:, :-1]
    return torch.cat([pictures.expand(-1, 3, -1, -1), alpha.to(pictures)], dim=1)


class Gathered:
    """Batches, written as they come into one tensor: a long clip is never held twice. Of a total
    that is only expected, or unknown, more or fewer may come.
    """

    def __init__(self, total: int | None, device: torch.device | str) -> None:
        self.total, self.device, self.done = total or 64, device, 0
        self._room = torch.empty(0)

    @property
    def whole(self) -> Tensor:
        return self._room if self.done == len(self._room) else self._room[: self.done]

    def add(self, batch: Tensor) -> None:
        if not self.done:
            affordable("The result", self.total, *batch.shape[1:])
            self._room = torch.empty(self.total, *batch.shape[1:], device=self.device)
        if self.done + len(batch) > len(self._room):
            more = max(len(batch), len(self._room) // 2)
            spare = self._room.new_empty(more, *self._room.shape[1:])
            self._room = torch.cat([self._room, spare])
        self._room[self.done : self.done + len(batch)] = batch
        self.done += len(batch)
