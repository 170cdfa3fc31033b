"""The three networks that see faces, as models/face.safetensors has them."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from .detector import FaceDetector
from .mask import PersonMask
from .mesh import FaceMesh


class SeesFaces(Protocol):
    """Whatever has the three networks: `FaceNetworks`, or the model that animates with them."""

    detector: FaceDetector
    mesh: FaceMesh
    person: PersonMask


class FaceNetworks(nn.Module):
    """Where faces are, their points, and which pixels are people. float32."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = FaceDetector()
        self.mesh = FaceMesh()
        self.person = PersonMask()
