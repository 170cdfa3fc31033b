"""478 points of a face that fills its square upright: the face mesh with attention.

Grishchenko et al., Attention Mesh: High-fidelity Face Mesh Prediction in Real-time, 2020. A first
network places 468 points; lips and eyes are then cut out of its early maps, turned level, and
placed again by networks of their own, which also find the irises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import BlazeBlock, Pointwise, SameConv
from .together import one_by_one, side_by_side
from .topology import EYES, IRISES, LIPS, REFINED

SIDE = 192
CUT = 16  # the side of what is cut out of the early maps
WIDER = 1.5  # than the points it is cut round
SURFACE = 468  # points of the first network; the irises follow


def blaze(inputs: int, outputs: int, stride: int = 1) -> BlazeBlock:
    return BlazeBlock(inputs, outputs, nn.PReLU, stride=stride)


def halving(inputs: int, outputs: int) -> list[nn.Module]:
    """To half the size, and two blocks there."""
    return [blaze(inputs, outputs, 2), blaze(outputs, outputs), blaze(outputs, outputs)]


def closing(outputs: int, kernel: int) -> nn.Sequential:
    """Of the deepest maps, the numbers wanted. B 128 kernel kernel -> B outputs 1 1"""
    return nn.Sequential(*narrowing(), nn.Conv2d(32, outputs, kernel))


def narrowing() -> list[nn.Module]:
    return [Pointwise(128, 32), nn.PReLU(32), blaze(32, 32)]


class Refiner(nn.Module):
    """Places the points of one region anew, of deep maps of its cut. B 128 4 4 -> B K 2"""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(blaze(128, 128), blaze(128, 128), *halving(128, 128))
        self.close = closing(2 * points, 2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.close(self.blocks(maps)).reshape(len(maps), -1, 2)


class Region(nn.Module):
    """A cut of 16 cells a side, looked at closely. B 32 16 16 -> B 128 4 4"""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            blaze(32, 32), blaze(32, 32), *halving(32, 64), blaze(64, 128, 2)
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.blocks(maps)


class Mouth(nn.Module):
    """The lips. B 32 16 16 -> B 80 2"""

    def __init__(self) -> None:
        super().__init__()
        self.region = Region()
        self.lips = Refiner(len(REFINED["lips"]))

    def forward(self, maps: Tensor) -> Tensor:
        return self.lips(self.region(maps))


class Eye(nn.Module):
    """An eye's lids and what is round them, then its iris. B 32 16 16 -> B 76 2"""

    def __init__(self) -> None:
        super().__init__()
        self.region = Region()
        self.lids = Refiner(len(REFINED["right_eye"]))
        self.iris = Refiner(len(IRISES["right_eye"]))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.region(maps)
        return torch.cat([self.lids(maps), self.iris(maps)], dim=1)


class FaceMesh(nn.Module):
    """B 3 192 192 in 0..1 -> points B 478 3 in its pixels (0 the outer edge; z towards the viewer
    is negative), and how sure it is of a face, B in 0..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv(3, 16, 3, stride=2), nn.PReLU(16))
        self.early = nn.Sequential(blaze(16, 16), blaze(16, 16), blaze(16, 32, 2))
        self.late = nn.Sequential(
            blaze(32, 32),
            blaze(32, 32),
            *halving(32, 64),
            *halving(64, 128),
            *halving(128, 128),
            *halving(128, 128),
        )
        self.summary = nn.Sequential(*narrowing())
        self.surface = nn.Conv2d(32, 3 * SURFACE, 3)
        self.mouth = Mouth()
        self.right_eye = Eye()
        self.left_eye = Eye()
        self.flag = nn.Conv2d(32, 1, 3)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        early = self.early(self.stem(by_pixels(crops)))  # B 32 48 48
        summary = self.summary(self.late(early))
        points = self.surface(summary).reshape(-1, SURFACE, 3)
        flag = self.flag(summary).flatten().sigmoid()
        return self.refined(points, early), flag

    def regions(self) -> Iterator[tuple[str, nn.Module, tuple[int, int]]]:
        """What is placed anew: its name, the network, the points that are level in its cut."""
        yield "lips", self.mouth, LIPS.ends
        yield "right_eye", self.right_eye, EYES["right_eye"].ends
        yield "left_eye", self.left_eye, EYES["left_eye"].ends

    def refined(self, points: Tensor, early: Tensor) -> Tensor:
        """With lips and eyes placed anew, and irises. B 468 3 -> B 478 3"""
        cell = SIDE / early.shape[-1]
        found = F.pad(points, (0, 0, 0, len(IRISES["right_eye"]) * 2))

        def place(region: tuple[str, nn.Module, tuple[int, int]]) -> None:
            name, network, ends = region
            cut = cut_of(points[..., :2] / cell, REFINED[name], ends)
            places = network(cut_out(early, cut)) / cell  # in cells of the cut
            moved = places @ cut[:, :, :2].transpose(1, 2) + cut[:, None, :, 2]
            found[:, list(REFINED[name] + IRISES.get(name, ())), :2] = moved * cell

        live = len(points) == 1 and points.is_cpu and not torch.is_grad_enabled()
        (side_by_side if live else one_by_one)(place, self.regions())
        for eye in EYES.values():
            depth = points[:, list(eye.outline), 2].mean(1, keepdim=True)
            found[:, list(eye.iris), 2] = depth
        return found


def cut_of(points: Tensor, round_these: Sequence[int], ends: tuple[int, int]) -> Tensor:
    """What carries a square of CUT cells onto the box round some points, turned so that the line
    through `ends` is level. B K 2 -> B 2 3
    """
    along = points[:, ends[1]] - points[:, ends[0]]
    angle = -torch.atan2(along[:, 1], along[:, 0])
    cosine, sine = angle.cos(), angle.sin()
    level = torch.stack([cosine, -sine, sine, cosine], dim=-1).view(-1, 2, 2)
    turned = points[:, list(round_these)] @ level.transpose(1, 2)
    low, high = turned.amin(1), turned.amax(1)
    middle = ((low + high) / 2)[:, None] @ level  # back: its inverse is its transpose
    frame = level.transpose(1, 2) * (WIDER / CUT * (high - low))[:, None]
    shift = middle.transpose(1, 2) - frame.sum(-1, keepdim=True) * (CUT / 2)
    return torch.cat([frame, shift], dim=2)


def cut_out(maps: Tensor, cut: Tensor) -> Tensor:
    """The maps there, bilinear, 0 beyond their outermost cells. B C h w, B 2 3 -> B C CUT CUT"""
    height, width = maps.shape[-2:]
    steps = torch.arange(CUT, device=maps.device, dtype=cut.dtype) + 0.5
    cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(1, -1, 2)
    places = cells @ cut[:, :, :2].transpose(1, 2) + cut[:, None, :, 2] - 0.5
    last = places.new_tensor([width - 1, height - 1])
    outside = ((places < 0) | (places > last)).any(-1).view(-1, 1, CUT, CUT)
    grid = (places / last * 2 - 1).view(-1, CUT, CUT, 2).to(maps.dtype)
    found = F.grid_sample(maps, grid, align_corners=True, padding_mode="border")
    return by_pixels(found.masked_fill(outside, 0))


def by_pixels(maps: Tensor) -> Tensor:
    """The same with the channels of each pixel side by side, where such convolutions are faster."""
    return maps.contiguous(memory_format=torch.channels_last)
