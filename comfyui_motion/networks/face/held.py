"""A face whose mouth is covered: what is held before it goes with the head, and does nothing else.

So no lips open in the back of a hand, and no cup smiles.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...geometry.easing import ramp
from .light import SIDE, over_face
from .pose import Similarity, model_face
from .raster import Array
from .topology import EYES, POINTS, SURFACE

BELOW = (0.25, 0.9)  # of the way from the lower lids to the tip of the nose: free, held
TIP = 1


@lru_cache
def held() -> Tensor:
    """How far each point goes with the head alone: below the nose all the way. 478 1"""
    made = torch.zeros(POINTS, 1)
    made[:SURFACE] = ramp(*BELOW, share_down(model_face()[:, 1]))[:, None]
    return made


def share_down(y: Tensor) -> Tensor:
    """How far down a face, of the way from the lower lids to the tip of the nose."""
    face = model_face()[:, 1]
    lids = torch.stack([face[list(eye.lower)].mean() for eye in EYES.values()]).mean()
    return (y - lids) / (face[TIP] - lids)


def at_rest(posed: Tensor, rest: Tensor, head: Similarity) -> Tensor:
    """Poses without what a covered mouth does. B 478 3, 1 478 3"""
    with_head = head.apply(rest.expand(len(posed), -1, -1))
    return posed + held() * (with_head - posed)


@lru_cache
def unlit() -> Array:
    """Where no light falls on what is held before a mouth, over the canonical face. SIDE SIDE"""
    rows = torch.from_numpy(over_face()[:, 1])
    face = model_face()[:, 1].double()
    rows, face = (v.sort().values.numpy() for v in (rows, face))
    y = np.interp(np.arange(SIDE), rows, face)
    found = ramp(*BELOW, share_down(torch.from_numpy(y)))
    return np.repeat(found.numpy()[:, None], SIDE, axis=1).astype(np.float32)
