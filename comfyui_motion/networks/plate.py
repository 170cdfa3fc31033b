"""The clean plate: a picture's background with its subject gone, to see where the subject was and
is no more.

What is behind a subject no picture shows; beside it the background often goes on. So every hole is
filled from what lies round it, at the scale of the hole: the pull-push of the Lumigraph (Gortler et
al., 1996, section 3.4). It is worked out once a source, so it does not flicker.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..field import resize

SOME = 0.3  # from here on a pixel may show some of the subject, and tells nothing of the background
NEAR = 2  # nor do pixels this near to it: outlines blur, and figures are told to a pixel or two
LEAST = 1e-9  # what it weighs yet: where a picture is all subject, its mean is the plate
TINY = 1e-30  # so that nothing is divided by nothing


@torch.no_grad()
def clean_plate(picture: Tensor, subject: Tensor) -> Tensor:
    """The picture where it shows no subject, and what goes on from there where it does.

    B C H W, B 1 h w in 0..1 -> B C H W in float32
    """
    near = F.max_pool2d(subject.float(), 2 * NEAR + 1, stride=1, padding=NEAR)
    weight = (1 - subject.float()) * (near < SOME) + LEAST
    return pull_push(picture.float(), resize(weight, *picture.shape[-2:]))


def pull_push(maps: Tensor, weight: Tensor) -> Tensor:
    """Maps that are themselves where the weight is 1; where it is less, the rest comes from their
    weighted mean over twice the distance, filled in turn. B C H W, B 1 H W in 0..1 -> B C H W
    """
    if max(maps.shape[-2:]) == 1:
        return maps
    known = F.avg_pool2d(weight, 2, ceil_mode=True)
    mean = F.avg_pool2d(maps * weight, 2, ceil_mode=True) / known.clamp(min=TINY)
    coarse = pull_push(mean, (4 * known).clamp(max=1))  # one known pixel of four is enough
    return torch.lerp(resize(coarse, *maps.shape[-2:]), maps, weight)
