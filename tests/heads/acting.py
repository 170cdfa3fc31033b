"""What these tests act on: an untrained model of little cost, and a finder that knows where faces
were drawn.
"""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch

import comfyui_motion as motion
from comfyui_motion.networks.face.topology import canonical

SMALL = {
    "appearance": (4, 6, 8),
    "volume": 4,
    "depth": 3,
    "residuals": 1,
    "stages": (1, 1, 2, 1),
    "widths": (4, 6, 8, 10),
    "compressed": 2,
    "encoder": (6, 8),
    "decoder": (6, 4),
    "warped": 8,
    "middle": 12,
    "middles": 2,
    "painted": (8, 4),
    "hidden": 6,
    "stitching": (6, 5),
    "lips": (5,),
    "eyes": (5, 4, 3),
    "size": 64,
}
STEP = 1 / 255


def face_points(x, y, size, angle=0.0):
    """A mesh at rest, `size` pixels wide, turned. 478 3"""
    flat = canonical() * torch.tensor([1.0, -1.0, -1.0])
    flat = torch.cat([flat, flat[[33] * 10]]) * (size / 15)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return torch.cat([flat[:, :2] @ turn + torch.tensor([x, y]), flat[:, 2:]], dim=1)


def face_of(points):
    low, high = points[:468, :2].amin(0).tolist(), points[:468, :2].amax(0).tolist()
    return SimpleNamespace(points=points, size=float(points[:, 0].max()), box=(*low, *high))


@dataclass
class Finder:
    """Stands in for the networks that find faces: says where they were drawn."""

    pictures: list  # points of the source's faces
    clip: list  # points of the driver's face in every frame, or None
    moving: list | None = None  # of the source's, where that is a clip

    def faces(self, picture):
        return [face_of(points) for points in self.pictures]

    def follow(self, clip, near=None):
        if self.moving is not None and next(iter(clip)).shape[-1] != 100:
            return SimpleNamespace(
                points=torch.stack(self.moving), found=torch.ones(len(self.moving)) > 0
            )
        blank, shown = torch.zeros(478, 3), self.clip[: sum(map(len, clip))]
        points = torch.stack([blank if p is None else p for p in shown])
        return SimpleNamespace(points=points, found=torch.tensor([p is not None for p in shown]))


def untrained():
    """A model whose poses differ from frame to frame as a trained one's do."""
    torch.manual_seed(0)
    model = motion.build("liveportrait", **{**SMALL, "depth": 2, "compressed": 1})
    with torch.no_grad():
        for layer in ("fc_exp", "fc_t", "fc_yaw", "fc_pitch"):
            getattr(model.motion_extractor.detector, layer).weight.mul_(8)
        model.warping_module.dense_motion_network.mask.weight.mul_(20)
    return model.requires_grad_(False)


def noise(height, width, count=1):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


CENTRE = face_points(70, 60, 40, 0.3)
DRIVER = [face_points(50 + i, 40, 30) for i in range(6)]


def run(model, source, driving, **options):
    options = {"size": "source", "batch_size": 2, **options}
    steps = list(motion.perform(model, source, driving, **options))
    return torch.cat([step.frames for step in steps]), steps
