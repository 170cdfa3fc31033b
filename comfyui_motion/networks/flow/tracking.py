"""Following a lattice from one picture into others: dense registration, coarse to fine, the same on
any device.

A displacement on a lattice, cubic in between, is fitted so that the reference, warped, becomes the
frame: a free-form deformation (Rueckert et al., IEEE TMI 1999) under a robust brightness and
gradient constancy that forgives slow changes of light (Brox et al., ECCV 2004), by Gauss-Newton
steps, each a linear system of the lattice's size solved with conjugate gradients. Where the
pictures say nothing the lattice bends as little as it can, so it holds together where flow found
pixel by pixel tears: a mouth that opens, a cheek.

Motion too large for the coarsest level is proposed by DIS (Kroeger et al., ECCV 2016); each frame
takes the proposal that explains it best.

Displacements are backward, frame to reference, in pixels of the level's pictures, (x, y). Lattices
have their corners on the pictures' corners. Frames never see one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.pixels import identity_grid, pixels_per_unit
from . import stopping

Linear = Callable[[Tensor], Tensor]  # of lattices, B 2 n n


@dataclass(frozen=True)
class Level:
    """One scale of the registration. Grey levels run from 0 to 1."""

    size: int  # longer side of the pictures, in pixels
    lattice: int  # points along each side
    steps: int  # of Gauss-Newton
    bending: float  # weight of second derivatives of the displacement
    membrane: float  # weight of its first derivatives
    # weight of the displacement itself: what is free to stay stays, or goes with the camera
    rest: float
    slope: float  # weight of gradient constancy against brightness constancy
    # differences below this are noise, above it they count by their size, not its square
    noise: float
    flat: float  # slopes, per pixel, of surfaces too plain to tell motion by


def register(reference: Tensor, frames: Tensor, levels: list[Level]) -> Tensor:
    """The displacement that makes each frame from the reference.

    1 3 h w, B 3 h w in 0..1 -> B 2 n n of the last lattice, in -1..1 units
    """
    moved = camera = None
    for level in levels:
        size = working_size(frames.shape[-2:], level.size)
        first, others = (features(pictures, size, level.slope) for pictures in (reference, frames))
        if moved is None or camera is None:
            proposals = starts(reference, frames, size, level.lattice)
            camera = camera_motion(first, others, proposals[0], proposals[-1], level)
            moved = best_start(first, others, proposals, camera, level)
        else:
            moved, camera = (
                to_pixels(resize_lattice(motion, level.lattice), size) for motion in (moved, camera)
            )
            moved = settle_down(first, others, moved, camera, level)
        moved, camera = moved / half_span(size, moved), camera / half_span(size, camera)
    assert moved is not None
    return moved


def camera_motion(
    reference: Tensor, frames: Tensor, still: Tensor, turned: Tensor, level: Level
) -> Tensor:
    """What plain surfaces do: they stay, unless along the picture's edges all is better explained
    as having moved. -> B 2 n n
    """
    height, width = frames.shape[-2:]
    edge = torch.ones_like(frames[:1, 0])
    edge[:, height // 6 : -(height // 6), width // 6 : -(width // 6)] = 0
    stayed, went = (
        (unexplained(reference, frames, motion, level) * edge).sum((1, 2)) / edge.sum()
        for motion in (still, turned)
    )
    return torch.where((went < 0.6 * stayed - level.noise / 4)[:, None, None, None], turned, still)


def best_start(
    reference: Tensor, frames: Tensor, proposals: list[Tensor], camera: Tensor, level: Level
) -> Tensor:
    """Every proposal improved, the one kept that leaves least unexplained. -> B 2 n n"""
    tried = [settle_down(reference, frames, proposal, camera, level) for proposal in proposals]
    left = torch.stack(
        [unexplained(reference, frames, moved, level).mean((1, 2)) for moved in tried]
    )  # P B
    return torch.stack(tried)[left.argmin(0), torch.arange(len(frames), device=frames.device)]


def starts(reference: Tensor, frames: Tensor, size: tuple[int, int], count: int) -> list[Tensor]:
    """No motion; what DIS finds; the similarity that most corners agree on.

    In pixels of pictures of `size`, each B 2 count count
    """
    still = frames.new_zeros(len(frames), 2, count, count)
    first, *others = grays(
        torch.cat(
            [
                F.interpolate(reference, size=frames.shape[-2:], mode="bilinear", antialias=True),
                frames,
            ]
        )
    )
    dense = np.stack([dense_flow(frame, first) for frame in others])  # B H W 2
    turned = np.stack([similar(frame, first) for frame in others])
    flows = [
        torch.from_numpy(flow).to(still).permute(0, 3, 1, 2) * (size[1] / flow.shape[2])
        for flow in (dense, turned)
    ]
    return [still, *(around_points(flow, count) for flow in flows)]


def grays(pictures: Tensor, longest: int = 256) -> list[Any]:
    """B 3 H W in 0..1 -> B of h w uint8"""
    gray = F.interpolate(
        pictures.mean(1, keepdim=True),
        size=working_size(pictures.shape[-2:], longest),
        mode="bilinear",
        antialias=True,
    )
    return list((gray.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()[:, 0])


def dense_flow(frame: Any, reference: Any) -> Any:
    """DIS from frame to reference. h w uint8 twice -> h w 2"""
    import cv2

    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return search.calc(frame, reference, None)


def similar(frame: Any, reference: Any) -> Any:
    """The similarity from frame to reference that most of their ORB corners agree on, as a flow;
    none where few do. -> h w 2

    Fitted by OpenCV: of 150 pairs, a third of them wrong, in 0.04 ms on a core of an Intel Xeon,
    where kornia's RANSAC, whose nearest model is a homography, takes 8.6 ms.
    """
    import cv2

    search: Any = cv2.ORB.create(500, edgeThreshold=8, patchSize=16, fastThreshold=5)
    (corners, mine), (others, yours) = (
        search.detectAndCompute(picture, None) for picture in (frame, reference)
    )
    pairs = (
        []
        if mine is None or yours is None
        else cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(mine, yours)
    )
    matrix = None
    if len(pairs) >= 8:
        here = np.array([corners[pair.queryIdx].pt for pair in pairs], np.float32)
        there = np.array([others[pair.trainIdx].pt for pair in pairs], np.float32)
        matrix, agreeing = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=4)
    if matrix is None or agreeing.sum() < 8:
        return np.zeros((*frame.shape, 2), np.float32)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return np.float32(np.stack([x, y], -1) @ (matrix[:, :2].T - np.eye(2)) + matrix[:, 2])


def settle_down(
    reference: Tensor, frames: Tensor, moved: Tensor, camera: Tensor, level: Level
) -> Tensor:
    """Gauss-Newton on the robust difference and the smoothness against the camera together.

    1 C h w, B C h w, B 2 n n -> B 2 n n
    """
    size = (frames.shape[2], frames.shape[3])
    smoothness, stiffness = springs(size, level, frames.device)
    channels = frames.shape[1]
    slopes = torch.cat([reference, *differences(reference)], dim=1)  # 1 3C h w
    frames = frames - slow(frames)
    for _ in range(level.steps):
        stopping.step()
        warped = warp(slopes, moved)
        error = difference(warped[:, :channels], frames)
        across, down = warped[:, channels : 2 * channels], warped[:, 2 * channels :]
        weight = robust(error, level.noise) * textured(warped[:, 3:channels], level)
        x, y = weight * across, weight * down
        terms = torch.stack(
            [
                (a * b).sum(1)
                for a, b in ((x, across), (x, down), (y, down), (x, error), (y, error))
            ],
            dim=1,
        )
        # each B 1 n n
        xx, xy, yy, x, y = around_points(terms, level.lattice).unsqueeze(2).unbind(1)

        def curvature(step: Tensor, xx: Tensor = xx, xy: Tensor = xy, yy: Tensor = yy) -> Tensor:
            data = torch.cat(
                [xx * step[:, :1] + xy * step[:, 1:], xy * step[:, :1] + yy * step[:, 1:]], dim=1
            )
            return data + smoothness(step)

        inverse = block_inverse(xx + stiffness, xy, yy + stiffness)
        step = conjugate_gradients(
            curvature, -torch.cat([x, y], dim=1) - smoothness(moved - camera), inverse
        )
        # further than a pixel its slopes tell nothing
        moved = moved + step / step.norm(dim=1, keepdim=True).clamp(min=1)
    return moved


def robust(error: Tensor, noise: float) -> Tensor:
    """Weights that make least squares the Charbonnier norm. B C h w -> B 1 h w"""
    return 1 / (error.square().mean(1, keepdim=True) + noise**2).sqrt() / error.shape[1]


def unexplained(reference: Tensor, frames: Tensor, moved: Tensor, level: Level) -> Tensor:
    """What differs between the warped reference and the frame, in grey levels. B h w"""
    error = difference(warp(reference, moved), frames - slow(frames))
    return (error.square().mean(1) + level.noise**2).sqrt() - level.noise


def difference(warped: Tensor, frames: Tensor) -> Tensor:
    """Forgiving light: without what changes slowly over the picture, the frame's contrast made the
    reference's. B C h w

    `frames` come without it already.
    """
    warped = warped - slow(warped)
    contrast = (
        warped.square().mean((2, 3), keepdim=True)
        / frames.square().mean((2, 3), keepdim=True).clamp(min=1e-8)
    ).sqrt()
    return warped - frames * contrast.clamp(0.5, 2)


def slow(maps: Tensor) -> Tensor:
    """What of maps changes only over an eighth of the picture, or eight pixels. B C h w"""
    rows, columns = (max(1, min(8, side // 8)) for side in maps.shape[-2:])
    return F.interpolate(
        F.adaptive_avg_pool2d(maps, (rows, columns)), size=maps.shape[-2:], mode="bilinear"
    )


def textured(slopes: Tensor, level: Level) -> Tensor:
    """Near 0 on plain surfaces, where motion would follow noise and shading. B 2 h w -> B 1 h w"""
    steep = slopes.square().sum(1, keepdim=True)
    return steep / (steep + (level.slope * level.flat) ** 2 + 1e-12)


def springs(size: tuple[int, int], level: Level, device: torch.device) -> tuple[Linear, Tensor]:
    """The gradient of the smoothness energy as a linear map of a lattice (B 2 n n), and its
    diagonal. n n

    Bending leaves affine motion free; all is measured in cells of the lattice's wider side.
    """
    first, second = second_moment(level.lattice, 1, device), second_moment(level.lattice, 2, device)
    longest = max(size)
    # derivatives along the shorter side count by its shorter cells
    down, across = (longest / side for side in size)
    scale = 2 * ((level.lattice - 1) / (longest - 1)) ** 2

    rows = scale * (level.bending * down**4 * second + level.membrane * down**2 * first)
    columns = scale * (level.bending * across**4 * second + level.membrane * across**2 * first)
    columns = columns + scale * level.rest * torch.eye(level.lattice, device=device)
    twist = 2 * scale * level.bending * (down * across) ** 2 * first

    def gradient(x: Tensor) -> Tensor:
        return rows @ x + x @ columns + twist @ x @ first

    diagonal = (
        rows.diagonal()[:, None] + columns.diagonal() + twist.diagonal()[:, None] * first.diagonal()
    )
    return gradient, diagonal


@lru_cache(maxsize=32)
def second_moment(count: int, order: int, device: torch.device) -> Tensor:
    """D^T D for the `order`-th differences D of `count` numbers. count count"""
    with torch.inference_mode(False):
        differences = torch.eye(count, device=device)
        for _ in range(order):
            differences = differences[1:] - differences[:-1]
        return differences.T @ differences


def conjugate_gradients(
    curvature: Linear, target: Tensor, precondition: Linear, steps: int = 20
) -> Tensor:
    """Solves curvature(x) = target for each frame by itself. B 2 n n -> B 2 n n"""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((1, 2, 3), keepdim=True)

    solution, residual = torch.zeros_like(target), target
    conditioned = direction = precondition(residual)
    power = dot(residual, conditioned)
    for _ in range(steps):
        image = curvature(direction)
        length = power / dot(direction, image).clamp(min=1e-20)
        solution, residual = solution + length * direction, residual - length * image
        conditioned = precondition(residual)
        before, power = power, dot(residual, conditioned)
        direction = conditioned + power / before.clamp(min=1e-20) * direction
    return solution


def block_inverse(xx: Tensor, xy: Tensor, yy: Tensor) -> Linear:
    """The inverse of a symmetric 2 x 2 matrix at every point (each B 1 n n), to apply
    to B 2 n n.
    """
    determinant = (xx * yy - xy * xy).clamp(min=1e-12)
    return lambda x: (
        torch.cat([yy * x[:, :1] - xy * x[:, 1:], xx * x[:, 1:] - xy * x[:, :1]], dim=1)
        / determinant
    )


def warp(maps: Tensor, moved: Tensor) -> Tensor:
    """Maps read where the lattice says, bilinearly. 1 C h w, B 2 n n -> B C h w

    By what kornia's remap calls, for it runs dozens of times a frame: remap takes the grid apart
    first, 3.4 ms against 2.6 for four maps of 3x320x320 (a core of an Intel Xeon).
    """
    size = (maps.shape[2], maps.shape[3])
    shift = (resize_lattice(moved, *size) / half_span(size, moved)).permute(0, 2, 3, 1)
    grid = identity_grid(*size, like=maps) + shift
    return F.grid_sample(
        maps.expand(len(moved), -1, -1, -1), grid, padding_mode="border", align_corners=True
    )


def features(pictures: Tensor, size: tuple[int, int], slope: float) -> Tensor:
    """Colours, slightly blurred, and their mean's slopes. B 3 H W -> B 5 h w"""
    colours = blur(F.interpolate(pictures, size=size, mode="bilinear", antialias=True))
    return torch.cat(
        [colours, *(slope * part for part in differences(colours.mean(1, keepdim=True)))], dim=1
    )


def blur(maps: Tensor) -> Tensor:
    """By 1 2 1 along both sides. B C h w"""
    kernel = maps.new_tensor([0.25, 0.5, 0.25])
    kernel = (kernel[:, None] * kernel).expand(maps.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), kernel, groups=maps.shape[1])


def differences(maps: Tensor) -> Iterator[Tensor]:
    """Central differences along x, then y. B C h w -> B C h w twice"""
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    yield (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    yield (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def around_points(maps: Tensor, count: int) -> Tensor:
    """Means around each point of a lattice, weighted down to none at its neighbours.

    B C h w -> B C count count
    """
    rows, columns = (tents(side, count, maps.device) for side in maps.shape[-2:])
    return rows @ maps @ columns.T


@lru_cache(maxsize=64)
def tents(side: int, count: int, device: torch.device) -> Tensor:
    """Weights of `side` pixels for each of `count` points, corners on corners, each row of sum 1.

    count side
    """
    with torch.inference_mode(False):
        pixels = torch.arange(side, device=device) * ((count - 1) / (side - 1))
        weights = (
            1
            - (pixels - torch.arange(count, device=device)[:, None]).abs()
            * min(1, (side - 1) / (count - 1))
        ).clamp(min=0)
        return weights / weights.sum(1, keepdim=True)


def resize_lattice(moved: Tensor, height: int, width: int | None = None) -> Tensor:
    """Cubic, corners on corners. B 2 n n -> B 2 height width"""
    return F.interpolate(moved, size=(height, width or height), mode="bicubic", align_corners=True)


def half_span(size: tuple[int, int], like: Tensor) -> Tensor:
    """Pixels from the centre to the last pixel's centre, (x, y). 2 1 1"""
    return pixels_per_unit(*size, like)[:, None, None]


def to_pixels(moved: Tensor, size: tuple[int, int]) -> Tensor:
    return moved * half_span(size, moved)


def working_size(size: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Height and width with the longer side brought to `longest`, at least 16 each."""
    scale = longest / max(size)
    return max(16, round(size[0] * scale)), max(16, round(size[1] * scale))
