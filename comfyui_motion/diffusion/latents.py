"""Latents moved by a field: the encoded source in motion, without decoding it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, check_field

TIME_STRIDE = 4  # frames of a film to one of its latent, after the first: Wan, Hunyuan, Cosmos


def check_samples(samples: Any) -> Tensor:
    """The samples of a LATENT, once they are known to be pictures or films.

    Raises InputError for sound, for several kinds at once, and for what is no tensor.
    """
    if getattr(samples, "is_nested", False):
        raise InputError(
            "This latent holds picture and sound together; take the video latent out of it first"
            " (Separate AV Latent)."
        )
    if not isinstance(samples, Tensor) or samples.ndim not in (4, 5) or not samples.numel():
        found = (
            f"is {' '.join(map(str, samples.shape))}"
            if isinstance(samples, Tensor)
            else f"is a {type(samples).__name__}"
        )
        raise InputError(
            f"A latent that moves is B C h w (pictures) or B C T h w (a film); this one {found},"
            " as sound and 3-D shapes are: a motion field moves pictures only."
        )
    return samples


def latent_length(frames: int, time_stride: int = TIME_STRIDE) -> int:
    """How many latent frames a film of so many has: the first alone, then one for every
    `time_stride`.
    """
    if time_stride < 1:
        raise InputError(f"time_stride is a number of frames, 1 or more, and is {time_stride}.")
    return 1 + (frames - 1) // time_stride


def frames_of(frames: int, latents: int, time_stride: int) -> range:
    """The numbers of the frames that the latent frames stand for. Raises InputError where their
    count does not fit.
    """
    expected = latent_length(frames, time_stride)
    if latents != expected:
        raise InputError(
            f"A field of {frames} frames at a time stride of {time_stride} moves a latent of"
            f" {expected} frames, and this one has {latents}: give a field of"
            f" {1 + (latents - 1) * time_stride} frames, or the stride of its VAE."
        )
    return range(0, frames, time_stride)


def warp_latent(
    field: MotionField, samples: Tensor, time_stride: int = TIME_STRIDE, padding: str = "border"
) -> Tensor:
    """Latent pictures or films moved by the field, at their own size, in their own type.

    1 C h w or B C h w -> B C h w, a picture for each of the field's B frames.
    B C 1 h w or B C T h w -> B C T h w, where the latent frames stand for the field's frames 0,
    time_stride, 2 time_stride ...: T = 1 + (frames - 1) // time_stride.
    `padding` as in `MotionField.warp`. InputError for sound, and for other lengths.
    """
    samples = check_samples(samples)
    field = check_field(field).of_source().straightened().to(samples.device)
    if samples.ndim == 4:
        return _warped(field, samples, padding)
    length = latent_length(len(field), time_stride)
    if samples.shape[2] == 1:
        samples = samples.expand(-1, -1, length, -1, -1)
    fields = field[torch.tensor(frames_of(len(field), samples.shape[2], time_stride))]
    return torch.stack(
        [_warped(fields, film.transpose(0, 1), padding) for film in samples]
    ).transpose(1, 2)


def _warped(field: MotionField, pictures: Tensor, padding: str) -> Tensor:
    return field.warp(pictures.float(), padding).to(pictures.dtype)


def warp_latent_dict(
    field: MotionField,
    latent: dict[str, Any],
    time_stride: int = TIME_STRIDE,
    padding: str = "border",
) -> dict[str, Any]:
    """A LATENT moved by the field: its samples, and its noise_mask with them; all else as it comes.

    Masks (N h w or N 1 h w, of any size) lie along the samples' pictures, or, of films, along their
    time. What was given is not written into.
    """
    moved = latent | {"samples": warp_latent(field, latent["samples"], time_stride, padding)}
    mask = latent.get("noise_mask")
    if mask is not None:
        film = latent["samples"].ndim == 5
        moved["noise_mask"] = warp_noise_mask(field, mask, time_stride if film else None)
    return moved


def warp_noise_mask(field: MotionField, mask: Tensor, time_stride: int | None = None) -> Tensor:
    """A mask of what to repaint, moved: N h w, N 1 h w or 1 1 N h w -> the same with a mask for
    every frame, or, with a time stride, for every latent frame.

    It may have one mask, one for each frame of the field, or one for each latent frame.
    """
    maps = mask.reshape(-1, 1, *mask.shape[-2:])
    field = field.of_source().straightened().to(mask.device)
    numbers = None if time_stride is None else range(0, len(field), time_stride)
    if numbers is not None and len(maps) in (1, len(numbers)):
        field = field[torch.tensor(numbers)]
    if len(maps) not in (1, len(field)):
        counts = f"1 or {len(field)}" + (f" or {len(numbers)}" if numbers else "")
        raise InputError(
            f"The latent's noise_mask has {len(maps)} masks, where the field asks for {counts};"
            " take it off or repeat it."
        )
    moved = _warped(field, maps, "border")
    return moved.movedim(0, -3)[None] if mask.ndim == 5 else moved.reshape(-1, *mask.shape[1:])
