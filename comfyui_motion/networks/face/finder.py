"""Faces for whoever is shown faces: found in a picture, followed through a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from .find import Face, find_in
from .follow import Followed, follow_faces
from .networks import FaceNetworks, SeesFaces

__all__ = ["FaceFinder", "FaceNetworks"]


@dataclass(frozen=True, eq=False)
class FaceFinder:
    """The networks that see faces, and what they are asked."""

    networks: SeesFaces

    def faces(self, picture: Tensor) -> list[Face]:
        """The faces of a picture, from left to right. 1 3 H W in 0..1"""
        return find_in(self.networks, picture)

    def follow(
        self, clip: Iterable[Tensor], progress: Callable[[int], None] | None = None
    ) -> Followed:
        """The largest face of a clip's first frame that shows one, in all its frames."""
        return follow_faces(self.networks, clip, progress=progress)
