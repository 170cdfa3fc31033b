"""Faces for whoever is shown faces: found in a picture, followed through a clip.

Pixels, 0 the picture's outer edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from .find import Face, find_in
from .follow import Followed, Follower, follow_faces, places
from .layers import refined
from .mask import SIDE as MASKED
from .networks import FaceNetworks, SeesFaces
from .readings import Readings

__all__ = ["FaceFinder", "FaceNetworks", "FindsFaces"]


class FindsFaces:
    """Makes a finder of what has the networks (see `SeesFaces`)."""

    finds_faces: ClassVar[bool] = True
    networks: SeesFaces

    @torch.no_grad()
    def faces(self, picture: Tensor) -> list[Face]:
        """The faces of a picture, from left to right. 1 3 H W in 0..1"""
        return find_in(self.networks, self._brought(picture).float().nan_to_num(0))

    def follow(
        self,
        clip: Iterable[Tensor],
        near: Tensor | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Followed:
        """The largest face of a clip's first frame that shows one, in all its frames, steadied.

        clip  batches of B 3 H W in 0..1
        near  points (478 3) of the face that is meant, instead of the largest
        """
        brought = (self._brought(frames) for frames in clip)
        return follow_faces(self.networks, brought, near=near, progress=progress)

    @torch.no_grad()
    def subject(self, frames: Tensor) -> Tensor:
        """Which pixels are people, along their edges. B 3 H W in 0..1 -> B 1 H W"""
        frames = self._brought(frames).float().nan_to_num(0)
        size = (MASKED, MASKED)
        small = F.interpolate(frames, size=size, mode="bilinear", antialias=True)
        people = self.networks.person(small)[:, 0].cpu().numpy()
        plain = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        masks = [refined(frame, mask) for frame, mask in zip(plain, people, strict=True)]
        return torch.from_numpy(np.stack(masks))[:, None].to(frames.device)

    @torch.no_grad()
    def landmarks(self, frames: Tensor) -> Tensor:
        """The points of the largest face in each frame, NaN where there is none. B 3 H W in 0..1 ->
        B 478 2 in pixels, 0 the centre of the first: a detector for `evaluate`.
        """
        points, flag = places(self.networks, self._brought(frames))
        return torch.where(flag[:, None, None] > 0, points[..., :2] - 0.5, torch.nan)

    @torch.no_grad()
    def read(self, clip: Iterable[Tensor]) -> Readings:
        """What the largest face of a clip does, as it is seen: mouth, lids, head. Batches of
        B 3 H W in 0..1
        """
        follower = Follower(self.networks)
        parts = [follower.see(self._brought(frames)) for frames in clip]
        if not parts:
            raise InputError("The clip has no frames; give at least one.")
        seen = Followed.join(parts)
        return Readings.of(seen.points, seen.found)

    def _brought(self, pictures: Tensor) -> Tensor:
        return pictures.to(next(self.networks.detector.parameters()).device)


class FaceFinder(FindsFaces):
    """The networks that see faces, and what they are asked."""

    family = "face"

    def __init__(self, networks: SeesFaces) -> None:
        self.networks = networks
