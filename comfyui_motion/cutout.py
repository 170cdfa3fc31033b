"""Cut-outs: sources with alpha keep it. Colour under alpha is straight outside, and moves without
what lies in transparent pixels, so that no halo comes in at hair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .field import MotionField, identity_grid, resize, sample
from .fields.inverse import cell, invert, plain
from .geometry.vectors import length

if TYPE_CHECKING:
    import numpy as np

LEAST = 1e-4  # of alpha: below it a pixel has no colour of its own
HALF = 0.5
ANOTHER = 2.0  # pixels from where a pixel is: another place


def split_alpha(picture: Tensor) -> tuple[Tensor, Tensor | None]:
    """Colours that go on beyond the subject, and its alpha; None where all is opaque.

    N C H W in 0..1, C 1 to 4 -> N 1 or 3 H W, N 1 H W
    """
    if picture.shape[1] not in (2, 4) or not picture.is_floating_point():
        return picture, None
    colours, alpha = picture[:, :-1].float(), picture[:, -1:].float().clamp(0, 1)
    if alpha.min() >= 1:
        return colours, None
    return spread_out(colours, alpha), alpha


def spread_out(colours: Tensor, alpha: Tensor) -> Tensor:
    """What is transparent takes the colours of what lies around it. N C H W, N 1 H W"""
    if max(colours.shape[-2:]) == 1:
        return colours
    share = torch.nn.functional.avg_pool2d(alpha, 2, ceil_mode=True, count_include_pad=False)
    mean = torch.nn.functional.avg_pool2d(
        colours * alpha, 2, ceil_mode=True, count_include_pad=False
    ) / share.clamp(min=LEAST)
    coarse = spread_out(mean, (4 * share).clamp(max=1))
    return torch.lerp(resize(coarse, *colours.shape[-2:]), colours, alpha)


def warp_cutout(field: MotionField, picture: Tensor, padding: str = "border") -> Tensor:
    """A picture with straight alpha moved: N 4 H W -> B 4 H W, its colours read with
    their alpha.
    """
    colours, alpha = picture[:, :3].float(), picture[:, 3:].float()
    moved = field.warp(torch.cat([colours * alpha, alpha], dim=1), padding)
    opacity = moved[:, 3:]
    straight = moved[:, :3] / opacity.clamp(min=LEAST)
    empty = field.warp(spread_out(colours, alpha), padding)
    return torch.cat([torch.where(opacity > LEAST, straight, empty).clamp(0, 1), opacity], dim=1)


def move_alpha(alpha: Tensor, field: MotionField, hidden: Tensor) -> Tensor:
    """The subject's alpha in every frame, or its parts', whose sum it is. 1 K H W or B K H W,
    B 1 h w (1 = made up) -> B K h w

    Where the subject went away a field may go on reading it: what is made up there, though the same
    of the source is seen elsewhere in the frame, is transparent. A mouth that opens stays opaque.
    """
    source = plain(field).to(alpha.device)
    height, width = hidden.shape[-2:]
    frames: list[Tensor] = []
    for i in range(len(source)):
        one, made_up = source[i], hidden[i : i + 1].to(alpha)
        moved = one.warp(resize(alpha[i % len(alpha)][None], height, width), "border")
        gone = resize(seen_elsewhere(one, made_up), height, width) * made_up
        known = moved.sum(1, keepdim=True) * (1 - gone)
        frames.append(moved * (1 - gone * ~enclosed(known > 0.5)))
    return torch.cat(frames)


def seen_elsewhere(field: MotionField, hidden: Tensor) -> Tensor:
    """Where a frame, hidden there, reads what it shows in another place. 1 1 H W, of the field's
    size, 0 or 1
    """
    if hidden.max() < HALF:
        return torch.zeros_like(field.grid[..., 0])[:, None]
    seen = 1 - resize(hidden, *field.size)
    back = invert(MotionField(field.grid, (seen,)))
    place = sample(back.grid.movedim(-1, 1), field.grid, True, "border").movedim(1, -1)
    sure = sample(back.occlusion[-1], field.grid, True, "zeros") > HALF
    apart = length((place - identity_grid(*field.size, place)) / cell(field))
    return (sure & (apart > ANOTHER)[:, None]).float()


def enclosed(solid: Tensor) -> Tensor:
    """What cannot be reached from the frame's edge without crossing what is solid. B 1 H W bool"""
    found = [_holes(frame) for frame in solid[:, 0].cpu().numpy()]
    return torch.stack([torch.as_tensor(hole) for hole in found])[:, None].to(solid.device)


def _holes(solid: np.ndarray) -> Any:
    import cv2
    import numpy as np

    around = np.pad(~solid, 1, constant_values=True).astype(np.uint8)
    _, places = cv2.connectedComponents(around, connectivity=4)
    return (places != places[0, 0])[1:-1, 1:-1] | solid


def on_white(colours: Tensor, alpha: Tensor) -> Tensor:
    """As a picture without alpha. B 3 H W, B 1 H W"""
    return colours * alpha + (1 - alpha)
