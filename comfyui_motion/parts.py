"""Parts: masks from them, and one picture's parts laid over another's.

Part p is channel p of a segmentation (B K+1 h w, summing to 1); channel 0 is the background. A mask
is B 1 h w in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .doors.words import shown
from .errors import InputError
from .field import resize, resize_grid, sample
from .model import MotionModel, Portrait
from .shapes import check_shape

WHOSE = ("target", "source")


def part_numbers(text: str) -> list[int]:
    """Numbers as people write them: "1, 3-5" is 1 3 4 5. Raises InputError."""
    numbers: list[int] = []
    for word in text.replace(",", " ").split():
        first, dash, last = word.partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            raise InputError(
                f'Parts are numbered as in "1, 3-5"; {shown(word)!r} is no such number.'
            )
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _is_number(word: str) -> bool:
    """Digits, few enough for any model: "1-999999999" would fill the memory."""
    return word.isdecimal() and len(word) <= 4


def part_mask(parts: Tensor, indices: Sequence[int], hard: bool = False) -> Tensor:
    """Where any of the parts is.

    B K+1 h w -> B 1 h w; `hard` makes it 0 or 1. Raises InputError.
    """
    check_shape("parts", parts, "B K h w")
    chosen = sorted(set(indices))
    last = parts.shape[1] - 1
    if not chosen or chosen[0] < 0 or chosen[-1] > last:
        raise InputError(
            f"Parts are numbered 0 (the background) to {last}, and at least one must be chosen, not"
            f" {list(indices)}."
        )
    mask = parts[:, chosen].sum(dim=1, keepdim=True).clamp(0, 1)
    return harden(mask) if hard else mask


def harden(mask: Tensor) -> Tensor:
    """1 where the mask is over one half, 0 elsewhere."""
    return (mask > 0.5).to(mask.dtype)


def blend(under: Tensor, over: Tensor, mask: Tensor) -> Tensor:
    """`over` where the mask is 1, `under` where it is 0. B C H W, the mask of any size"""
    return torch.lerp(under, over, resize(mask, *under.shape[-2:]).to(under.dtype))


def decimate(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask of a picture at a smaller size: blurred first, as these networks blur the pictures
    they shrink. B 1 H W -> B 1 height width
    """
    step = mask.shape[-1] // width
    if step < 2 or mask.shape[-2:] != (height * step, width * step):
        return resize(mask, height, width)
    from kornia.filters import gaussian_blur2d

    sigma = (step - 1) / 2
    size = 2 * round(4 * sigma) + 1
    return gaussian_blur2d(mask, (size, size), (sigma, sigma), border_type="replicate")[
        :, :, ::step, ::step
    ]


@torch.no_grad()
def swap_parts(
    model: MotionModel,
    source: Tensor | Portrait,
    targets: Tensor,
    parts: Sequence[int] = (),
    mask: str | Tensor = "target",
    hard: bool = False,
    strength: float = 1.0,
    mask_of: str = "target",
) -> Tensor:
    """Parts of the source in place of the targets'. B C H W in 0..1, at the size of the targets

    source    1 C H W, or what `model.encode` made of it (encoded once, for any number of batches of
              targets)
    targets   B C H W, of a size the network takes
    parts     numbers of the parts to swap, 1..K; 0 is the background. A mask from outside needs
              none
    mask      "target": where the target has those parts. "source": where the source has them, moved
              to the target's pose.
              Or a mask from any segmenter, 1 1 H W or B 1 H W in 0..1, 1 = from the source: the way
              for models without parts (FOMM)
    hard      masks are 0 or 1 before they come to the features' size, where a source mask is moved
              and softens again
    strength  0 leaves the target as the network sees it, 1 swaps wholly
    mask_of   whose pixels a mask from outside marks: "target", or "source", which is moved like the
              source's parts

    Raises InputError.
    """
    if not isinstance(mask, Tensor):
        mask_of = mask
    if mask_of not in WHOSE:
        raise InputError(
            'The mask must be the "target"\'s, the "source"\'s or a tensor B 1 H W, not'
            f" {mask_of!r}."
        )
    if getattr(model.swap, "__func__", None) is MotionModel.swap:  # also through what wraps a model
        raise InputError(
            f"A model of the family {model.family} swaps no parts: take face, a co-part"
            " segmentation, or FOMM, MRAA or TPSMM with a mask."
        )
    portrait = source if isinstance(source, Portrait) else model.encode(source)
    target = model.target(targets)
    like = target.features[-1] if target.features else target.picture
    field = model.across(portrait, target)
    whose = target if mask_of == "target" else portrait
    if isinstance(mask, Tensor):
        chosen = _from_outside(mask, whose.picture, like, hard)
    else:
        chosen = _from_parts(model, whose, parts, like, hard)
    if mask_of == "source":
        chosen = sample(chosen, resize_grid(field.grid, *chosen.shape[-2:]), field.align_corners)
    return model.swap(portrait, target, field, strength * chosen)


def _from_parts(
    model: MotionModel, portrait: Portrait, parts: Sequence[int], features: Tensor, hard: bool
) -> Tensor:
    segmentation = getattr(portrait.keypoints, "parts", None)
    if segmentation is None and model.finds_faces:
        segmentation = model.segment(portrait.picture)
    if segmentation is None:
        raise InputError(
            "This model knows no parts; give a mask from outside (any segmenter's), B 1 H W."
        )
    return resize(part_mask(segmentation, parts, hard), *features.shape[-2:])


def _from_outside(mask: Tensor, picture: Tensor, features: Tensor, hard: bool) -> Tensor:
    check_shape("mask", mask, "B 1 H W")
    mask = resize(mask.to(picture.device, torch.float32), *picture.shape[-2:]).clamp(0, 1)
    return decimate(harden(mask) if hard else mask, *features.shape[-2:])


def matte_names(model: MotionModel, count: int) -> list[str]:
    """What passes call each part of a segmentation, the background first."""
    named = [name.replace(" ", "_") for name in model.part_names]
    return named if len(named) == count else [f"part_{k:02}" for k in range(count)]
