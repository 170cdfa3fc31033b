"""Flow: motion transfer that needs no weights. Dense motion of the driving clip, found by
registration, carried on a control lattice.

Its keypoints are the points of a square lattice laid over the reference, row after row, the corners
on the picture's corners: they can be smoothed, edited, saved and retargeted like any other model's.
Every frame is followed from the reference itself, so no call depends on another, nothing drifts,
and a batch may be split anywhere. `flow_tracking` finds the motion, this file gives it the four
verbs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...field import MotionField, remapped
from ...geometry.easing import smoothstep
from ...geometry.pixels import identity_grid
from ...geometry.rows import identity_rows, resized_rows, strips
from ...geometry.scatter import fill, splat
from ...keypoints import Keypoints
from ...model import (
    Family,
    MotionModel,
    Placement,
    Portrait,
)
from . import stopping
from . import tracking as flow_tracking
from .light import (
    FlowField,
    FlowKeypoints,
    came_to_light,
    relight,
)
from .stopping import side_by_side
from .tracking import Level, resize_lattice, working_size

NEW = 0.5  # logarithm of a change of light that the source surely does not show


@dataclass(frozen=True)
class Parameters:
    """Pixels are of the pictures that motion is found on, whose longer side is `detail`; grey
    levels run from 0 to 1.
    """

    size: int = 512  # longer side that driving frames are best brought to
    channels: int = 3
    lattice: int = 80  # points along each side
    # longer side of the finest pictures that are compared, and of the motion field
    detail: int = 320
    # resistance to bending on the finest level; it triples with each coarser one
    stiffness: float = 0.002
    membrane: float = 1e-3  # resistance to stretching
    rest: float = 4e-4  # pull towards no motion
    slope: float = 2.0  # weight of the picture's slopes against its colours
    noise: float = 0.01  # grey levels that mean nothing
    stillness: float = 0.1  # pixels: smaller motion is trembling, and damped
    flat: float = 0.003  # grey levels a pixel: plainer surfaces follow their surroundings
    mismatch: float = 0.05  # grey levels left unexplained at which a point is half believed
    texture: float = 0.01  # grey levels a pixel at which a point is half believed
    # how many times more than the whole picture a spot may grow before what it shows counts as
    # hidden
    stretch: float = 2.0
    # how much of what comes to light in the driver (see flow_light) is carried over
    light: float = 1.0
    # of the reference's side: how far beyond it motion fades out, where it does not cover the
    # source
    margin: float = 0.15

    def levels(self) -> list[Level]:
        """Coarse to fine, each twice as large, with eight pixels to a cell at first and
        then four.
        """
        sizes = [self.detail // 2**i for i in (3, 2, 1, 0)]
        counts = [max(4, self.lattice // 2**i) for i in (3, 2, 1, 0)]
        stiff = [self.stiffness * factor for factor in (30, 10, 3, 1)]
        rules = (self.membrane, self.rest, self.slope, self.noise, self.flat)
        return [
            Level(*scale, *rules) for scale in zip(sizes, counts, (8, 8, 6, 4), stiff, strict=True)
        ]


class Flow(MotionModel):
    family = "flow"
    any_size = True
    compares = False  # they are followed from that very frame
    at_once = 8
    anchor: Tensor
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.register_buffer(
            "anchor", torch.zeros(()), persistent=False
        )  # follows .to(device); there is nothing else to move

    @property
    def device(self) -> torch.device:
        return self.anchor.device

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def lattice(self) -> Tensor:
        """The points at rest. K 2"""
        return identity_grid(self.spec.lattice, self.spec.lattice, self.anchor).reshape(-1, 2)

    @torch.inference_mode()
    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        """The lattice's points followed from the reference (1 3 h w; the first of these frames if
        None) into each frame. B 3 H W -> B K

        A reference of another size is stretched to the frames'.
        """
        frames = self.accept(frames)
        reference = frames[:1] if reference is None else self.accept(reference, "reference")
        if frames.device.type != "cpu":
            return Keypoints.join(self.follow(reference, part) for part in frames.split(8))
        # many small steps: whole frames share cores better than each step does
        followed = side_by_side(lambda part: self.follow(reference, part), frames.split(1))
        return Keypoints.join(followed)

    @torch.inference_mode()
    def follow(self, reference: Tensor, frames: Tensor) -> Keypoints:
        """`detect` for as many frames as are followed together."""
        levels = self.spec.levels()
        size = working_size(frames.shape[-2:], self.spec.detail)
        count = self.spec.lattice
        back = flow_tracking.register(reference, frames, levels)  # B 2 n n
        grid, weight = invert(
            resize_lattice(back, *size)
        )  # where the reference's points are in the frame, and how much of it shows them
        moved = resize_lattice((grid - identity_grid(*size, like=grid)).permute(0, 3, 1, 2), count)
        length = (moved * flow_tracking.half_span(size, moved)).norm(dim=1, keepdim=True)
        moved = moved * length**2 / (length**2 + self.spec.stillness**2)
        position = self.lattice() + moved.flatten(2).transpose(1, 2)
        jacobian = slopes(moved) + torch.eye(2, device=self.device)
        confidence = self.belief(reference, frames, back, grid, weight)
        light = (
            came_to_light(reference, frames, back, size) * self.spec.light
            if self.spec.light
            else None
        )
        return FlowKeypoints(position, jacobian.flatten(1, 2), confidence=confidence, light=light)

    def belief(
        self, reference: Tensor, frames: Tensor, back: Tensor, grid: Tensor, weight: Tensor
    ) -> Tensor:
        """How far each point can be believed: it has texture, it looks the same in the frame, and
        it is seen there. B K in 0..1
        """
        spec = self.spec
        size = (grid.shape[1], grid.shape[2])
        level = spec.levels()[-1]
        first, others = (
            flow_tracking.features(pictures, size, spec.slope) for pictures in (reference, frames)
        )
        left = flow_tracking.unexplained(first, others, flow_tracking.to_pixels(back, size), level)[
            :, None
        ]  # on the frame
        left = F.grid_sample(left, grid, padding_mode="border", align_corners=True)
        texture = first[:, 3:].square().sum(1, keepdim=True).sqrt() / spec.slope
        parts = [
            left / spec.mismatch,
            spec.texture / texture.expand_as(left).clamp(min=1e-6),
            0.25 / weight.clamp(min=1e-6),
        ]
        belief = torch.cat([1 / (1 + part.square()) for part in parts], dim=1)
        return flow_tracking.around_points(belief, spec.lattice).prod(1).flatten(1)

    @torch.inference_mode()
    def encode(self, source: Tensor, placement: Placement | None = None) -> Portrait:
        """The picture, and the lattice where the reference lies on it: all over it unless a
        placement says otherwise. 1 3 H W
        """
        picture = self.accept(source, "source")
        rest = self.lattice().expand(len(picture), -1, -1)
        position = rest if placement is None else placement.carry(rest)
        scale = (position[:, -1] - position[:, 0]) / 2  # B 2
        jacobian = torch.diag_embed(scale)[:, None].expand(-1, rest.shape[1], -1, -1)
        return Portrait(
            picture, Keypoints(position, jacobian, confidence=torch.ones_like(position[..., 0]))
        )

    @torch.inference_mode()
    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MotionField:
        """The inverse of the motion that takes the portrait's lattice to the pose."""
        rest, pose = portrait.keypoints, pose.to(self.device)
        count = self.spec.lattice**2
        if pose.count != count or rest.count != count:
            raise InputError(
                f"This model follows {count} points and the pose has {pose.count}; detect it with"
                " the same model."
            )
        if not pose.position.isfinite().all():
            raise InputError(
                "Some points of the pose are nowhere (not a number); edited keypoints need a"
                " position each."
            )
        height, width = self.field_size(portrait)
        moved = (
            (pose.position - rest.position)
            .unflatten(1, (self.spec.lattice, -1))
            .permute(0, 3, 1, 2)
        )  # B 2 n n
        grid, weight = invert(self.spread(moved, rest.position, height, width))
        seen = visibility(grid, weight, self.spec.stretch)
        light = pose.light if isinstance(pose, FlowKeypoints) else None
        if light is None:
            return MotionField(grid, (seen,))
        place, fade = self.place(rest.position, height, width)
        light = (
            F.grid_sample(
                light.float(),
                place.expand(len(light), -1, -1, -1),
                padding_mode="border",
                align_corners=True,
            )
            * fade
        )
        seen = seen * (1 - light.abs() / NEW).clamp(min=0)
        return FlowField(grid, (seen,), light=light.half())

    def unlit(self) -> Flow:
        """The same, but of a driver's light it carries nothing over."""
        made = copy.copy(self)
        made.spec = replace(self.spec, light=0.0)
        return made

    def field_size(self, portrait: Portrait) -> tuple[int, int]:
        """Height and width of the field: finer, up to twice, where the subject is a small part of
        the source.
        """
        height, width = portrait.picture.shape[-2:]
        across, down = (
            (portrait.keypoints.position[0, -1] - portrait.keypoints.position[0, 0]) / 2
        ).tolist()
        part = max(across * width, down * height) / max(width, height)
        return working_size(
            (height, width), round(self.spec.detail * min(max(1 / max(part, 1e-3), 1), 2))
        )

    def spread(self, moved: Tensor, rest: Tensor, height: int, width: int) -> Tensor:
        """Displacements of the lattice to those of the source's pixels: cubic between points,
        fading to none beyond. B 2 n n -> B 2 H W
        """
        place, fade = self.place(rest, height, width)
        return (
            F.grid_sample(
                moved, place.expand(len(moved), -1, -1, -1), "bicubic", "border", align_corners=True
            )
            * fade
        )

    def place(self, rest: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Where on the lattice, and so in the driver's frame, each of the source's pixels lies, B H
        W 2; 1 there, 0 far beyond. B 1 H W
        """
        low, high = rest[:, None, None, 0], rest[:, None, None, -1]  # B 1 1 2
        place = (identity_grid(height, width, rest) - low) / (high - low) * 2 - 1
        beyond = (place.abs() - 1 - 1e-4).clamp(min=0).amax(-1)[:, None] / self.spec.margin
        fade = 1 - beyond
        return place, smoothstep(fade)

    @torch.inference_mode()
    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        """The source's own pixels, moved. B 3 H W float32 in 0..1

        What it hides is drawn out of what lies around it: a mouth opens to its own dark line, a
        background to its own texture, where inpainting would bring in skin (and was measured to be
        no nearer).
        """
        picture, field = portrait.picture, field.to(self.device)
        moved = picture.new_empty(len(field), *picture.shape[1:])
        light = field.light if isinstance(field, FlowField) else None
        for i, frame in enumerate(moved):
            resample(picture[i % len(picture)], field.grid[i : i + 1], frame)
            if light is not None:
                relight(frame, light[i : i + 1])
        return moved.clamp_(0, 1)


def slopes(maps: Tensor) -> Tensor:
    """Derivatives of a map, all in -1..1 units. B 2 h w -> B h w 2 2, [..., i, j] = d i / d j"""
    down, across = torch.gradient(maps, dim=(2, 3))
    down, across = down * (maps.shape[2] - 1) / 2, across * (maps.shape[3] - 1) / 2
    return torch.stack([across, down], dim=-1).permute(0, 2, 3, 1, 4)


def invert(moved: Tensor, rounds: int = 3) -> tuple[Tensor, Tensor]:
    """The grid that undoes a displacement, B 2 H W in -1..1 units -> B H W 2, and how much of the
    picture falls on each pixel. B 1 H W

    Every pixel is thrown where it goes; what none falls on is filled from around; then Newton's
    method on g + u(g) = z, kept near.
    """
    size = (moved.shape[2], moved.shape[3])
    target = identity_grid(*size, like=moved).expand(len(moved), -1, -1, -1)
    fallen, weight = splat(moved)
    start = target + fill(fallen, weight).permute(0, 2, 3, 1)
    cell = 2 / moved.new_tensor([max(size[1] - 1, 1), max(size[0] - 1, 1)])
    maps = torch.cat([moved, slopes(moved).permute(0, 3, 4, 1, 2).flatten(1, 2)], dim=1)  # B 6 H W
    grid, best, astray = start, start, torch.full_like(start[..., 0], torch.inf)
    for _ in range(rounds + 1):
        stopping.step()
        here = F.grid_sample(maps, grid, padding_mode="border", align_corners=True).permute(
            0, 2, 3, 1
        )
        error = target - grid - here[..., :2]
        far = error.norm(dim=-1)
        better = far < astray
        best, astray = torch.where(better[..., None], grid, best), torch.where(better, far, astray)
        a, b, c, d = (here[..., 2:] + here.new_tensor([1.0, 0.0, 0.0, 1.0])).unbind(-1)
        area = a * d - b * c
        sound = (area > 0.2) & (weight[:, 0] > 0.1)
        step = torch.stack(
            [d * error[..., 0] - b * error[..., 1], a * error[..., 1] - c * error[..., 0]], dim=-1
        )
        step = torch.where(sound[..., None], step / area.clamp(min=0.2)[..., None], 0)
        grid = torch.minimum(torch.maximum(best + step, start - 2 * cell), start + 2 * cell)
    return best, weight


def visibility(grid: Tensor, weight: Tensor, stretch: float) -> Tensor:
    """1 where the source shows what a pixel needs: not beyond its edge, nor where so little falls
    that it is drawn out. B 1 H W
    """
    cell = 2 / (max(grid.shape[1:3]) - 1)
    beyond = (grid.abs() - 1).amax(-1)[:, None] / cell
    fallen = F.avg_pool2d(F.pad(weight, (2, 2, 2, 2), mode="replicate"), 5, 1) / weight.mean(
        (2, 3), keepdim=True
    ).clamp(min=0.1)
    return (2 - beyond).clamp(0, 1) * (2 * fallen * stretch - 1).clamp(0, 1)


def resample(picture: Tensor, grid: Tensor, frame: Tensor) -> None:
    """The picture read where the grid says, bicubically, into `frame`; pixels that stay are copied.

    C H W, 1 h w 2. Some rows at a time: what is between does not grow with the picture.
    """
    height, width = picture.shape[-2:]
    motion = grid - identity_grid(grid.shape[1], grid.shape[2], grid)
    for rows in strips(height, width):
        offset = resized_rows(motion.permute(0, 3, 1, 2), rows, height, width).permute(0, 2, 3, 1)
        target = identity_rows(rows, height, width, grid) + offset
        moved = remapped(picture[None], target, True, "border", "bicubic")[0]
        still = (offset[0].abs() < 2e-3 / max(height, width)).all(-1)
        torch.where(still, picture[:, rows], moved, out=frame[:, rows])


def recognise(tensors: Any) -> bool:
    """Never: this family has no files."""
    return False


FAMILY = Family(
    name="flow",
    model=Flow,
    published=Parameters(),
    recognise=recognise,
    configure=lambda tensors: {},
)
