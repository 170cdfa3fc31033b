"""A picture's parts by its mesh and the person mask, and one face's parts in another's picture."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...field import MotionField, resize, sample
from ...geometry.easing import ramp
from ...model import Portrait
from .find import Face
from .follow import choose, places
from .keypoints import FaceKeypoints
from .layers import refined
from .networks import SeesFaces
from .raster import draw
from .surroundings import polar
from .topology import BROWS, CONTOURS, EYES, LIPS, NOSE

# part p is the p-th; sides are the subject's own
NAMES = (
    "background", "hair and body", "face", "brows", "right eye", "left eye", "nose", "lips"
)  # fmt: skip
LATTICE = 96  # of nodes along the longer side, at which what lies about a face is told
LONGEST = 1024  # pixels: parts are told no finer
SOFT = 0.012  # eye distances: how far an edge goes over
GAIN = 1.2  # contrast is at most so many times the own one
HUE, GREY = 6.0, 8.0  # of CIELAB: what is so near the skin's colour is skin; skin with less is grey
TINTED = 0.4  # of the way from skin to skin, that goes with what is none
FAR = 2.5  # times the face's outline: from there on one affine map lays picture over picture
BITS = 4


class TellsFaces(SeesFaces, Protocol):
    """What `Parts` asks of the model that it is mixed into."""

    @property
    def device(self) -> torch.device: ...

    def accept(self, frames: Tensor) -> Tensor: ...

    def faces(self, picture: Tensor) -> list[Face]: ...

    def people(self, picture: Tensor) -> np.ndarray | None: ...


class Parts:
    """What the face model adds to `segment` and `swap`."""

    def segment(self: TellsFaces, frames: Tensor) -> Tensor:
        """Lips, each eye, nose, brows, face, hair and body, background (see `NAMES`), of the
        largest face in each frame. B 3 H W in 0..1 -> B 8 h w, summing to 1, h and w as the frames'
        or smaller.
        """
        frames = self.accept(frames).float().nan_to_num(0)
        scale = min(1.0, LONGEST / max(frames.shape[-2:]))
        if scale < 1:
            size = [max(1, round(side * scale)) for side in frames.shape[-2:]]
            frames = F.interpolate(frames, size=size, mode="area")
        points, flag = places(self, frames)
        return torch.stack(
            [
                parts_of(frame, self.people(frame[None]), points[i] if flag[i] > 0 else None)
                for i, frame in enumerate(frames)
            ]
        )

    @torch.inference_mode()
    def target(self: TellsFaces, pictures: Tensor) -> Portrait:
        """Pictures that parts are laid over: where their largest face is. B 3 H W"""
        pictures = self.accept(pictures).float().nan_to_num(0)
        chosen = [choose(self.faces(picture[None]), 0) for picture in pictures]
        found = [face for face in chosen if face is not None]
        if len(found) < len(chosen):
            raise InputError(
                "A target picture shows no face, so nothing can be laid over it; leave it out, or"
                " use a model that needs none."
            )
        points = torch.stack([face.points for face in found])
        points[..., :2] -= 0.5
        size = points.new_tensor([[pictures.shape[3], pictures.shape[2]]])
        belief = torch.ones(points.shape[:2])
        return Portrait(pictures, FaceKeypoints.placed(points, size, confidence=belief))

    def across(self: TellsFaces, portrait: Portrait, target: Portrait) -> MotionField:
        """Where in the portrait's picture each pixel of the targets' lies: triangle by triangle on
        the face, by one affine map round it.
        """
        ours = portrait.keypoints.space()[0].double().cpu().numpy()
        theirs = target.keypoints.space().double().cpu().numpy()
        size = portrait.picture.shape[-2], portrait.picture.shape[-1]
        over = target.picture.shape[-2], target.picture.shape[-1]
        grids = [across(ours, points, size, over) for points in theirs]
        return MotionField(torch.stack(grids).to(self.device), (), align_corners=True)

    def swap(
        self: TellsFaces, portrait: Portrait, target: Portrait, field: MotionField, mask: Tensor
    ) -> Tensor:
        """The portrait's face, laid onto the targets' and in their colours, where the mask is 1."""
        under, source = target.picture.float(), portrait.picture[:1].float()
        over = sample(source, field.grid, field.align_corners, "border")
        mask = resize(mask.float(), *under.shape[-2:])
        size = under.shape[-2], under.shape[-1]
        ours = source.shape[-2], source.shape[-1]
        own = colour(source, skin_of(ours, portrait.keypoints.space()[0]))
        shown = []
        for i, points in enumerate(target.keypoints.space()):
            one = under[i : i + 1]
            theirs = colour(one, skin_of(size, points))
            face = filled(
                outlines_of(points[:, :2].cpu().numpy())[0], *size, SOFT * eyes_apart(points)
            )
            where = torch.from_numpy(face)[None, None].to(one)
            shown.append(in_light_of(over[i : i + 1], own, where, theirs))
        return torch.lerp(under, torch.cat(shown), mask).clamp(0, 1)


def eyes_apart(points: Tensor) -> float:
    right, left = (EYES[side].corners[0] for side in ("right_eye", "left_eye"))
    return max(float((points[left] - points[right]).norm()), 1.0)


def parts_of(frame: Tensor, people: np.ndarray | None, points: Tensor | None) -> Tensor:
    """One frame's. 3 H W, what the mask network says (h w), 478 3 in pixels from the outer edge ->
    8 H W
    """
    height, width = frame.shape[1:]
    plain = np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy())
    person = np.zeros((height, width), np.float32) if people is None else refined(plain, people)
    layers = [person] + [np.zeros((height, width), np.float32)] * (len(NAMES) - 2)
    if points is not None:
        outlines = outlines_of(points[:, :2].cpu().numpy() - 0.5)
        soft = SOFT * eyes_apart(points)
        layers = [person, *(filled(areas, height, width, soft) for areas in outlines)]
    parts = [np.ones((height, width), np.float32)]
    for layer in layers:
        parts = [part * (1 - layer) for part in parts] + [layer]
    order = [0, 1, 2, 4, 5, 6, 3, 7]  # the nose is painted before brows and eyes, and named after
    return torch.from_numpy(np.stack([parts[i] for i in order])).to(frame.device)


def outlines_of(points: np.ndarray) -> list[list[np.ndarray]]:
    """Of face, nose, brows, right eye, left eye and lips, each one or several outlines. K 2"""
    import cv2

    def hull(some: tuple[int, ...]) -> np.ndarray:
        return cv2.convexHull(points[list(some)].astype(np.float32))[:, 0]

    eyes = [
        [points[[eye.corners[0], *eye.above, eye.corners[1], *reversed(eye.below)]]]
        for eye in (EYES["right_eye"], EYES["left_eye"])
    ]
    face, lips = points[list(CONTOURS["face"])], points[list(LIPS.outer)]
    return [[face], [hull(NOSE)], [hull(brow) for brow in BROWS.values()], *eyes, [lips]]


def filled(outlines: list[np.ndarray], height: int, width: int, soft: float) -> np.ndarray:
    """1 inside, falling to 0 over a soft edge."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    for outline in outlines:
        corners = np.round(outline * (1 << BITS)).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, BITS)
    if soft > 0.4:
        mask = cv2.GaussianBlur(mask, (0, 0), soft)
    return mask.astype(np.float32) / 255


def across(
    ours: np.ndarray, theirs: np.ndarray, size: tuple[int, int], over: tuple[int, int]
) -> Tensor:
    """A grid over one picture that reads another by its face's points (478 3 each). H W 2"""
    height, width = over
    rows = np.c_[theirs[:468, :2], np.ones(468)]
    affine = np.linalg.lstsq(rows, ours[:468, :2], rcond=None)[0]  # 3 2
    y, x = np.mgrid[:height, :width].astype(np.float64)
    read = np.stack([x, y, np.ones_like(x)], -1) @ affine
    read = round_outline(read, ours, theirs)
    raster = draw(ours, theirs, height, width)
    inside = raster.label > 0
    here = np.stack([x, y], -1)[raster.box]
    read[raster.box][inside] = (here + raster.motion)[inside]
    spans = np.array([max(size[1] - 1, 1), max(size[0] - 1, 1)])
    return torch.from_numpy(2 * read / spans - 1).float()


def round_outline(read: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The affine map about a face, but near its outline so that outline comes to lie on outline.

    H W 2, 478 3 twice
    """
    height, width = read.shape[:2]
    rows, columns = (max(2, round(LATTICE * side / max(height, width))) for side in (height, width))
    ring, own = (
        torch.from_numpy(points[list(CONTOURS["face"]), :2]).float() for points in (theirs, ours)
    )
    y, x = np.mgrid[0 : height - 1 : rows * 1j, 0 : width - 1 : columns * 1j]
    plane = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2)).float()
    centre, middle = ring.mean(0), own.mean(0)
    radius, along, _ = polar(plane, ring - centre, centre, torch.tensor([0.0, -1.0]))
    here, there = (
        point + radius[:, None] * (along @ (outline - point))
        for point, outline in ((centre, ring), (middle, own))
    )
    corners = torch.from_numpy(read[[0, 0, -1], [0, -1, 0]]).float()  # what the affine map does
    right, down = (corners[i] - corners[0] for i in (1, 2))
    laid = corners[0] + here[:, :1] * right / (width - 1) + here[:, 1:] * down / (height - 1)
    more = (there - laid) * (1 - ramp(1.0, FAR, radius))[:, None]
    return read + on_corners(more.view(rows, columns, 2).numpy(), height, width)


def on_corners(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """A lattice over a picture at each of its pixels, corners on corners."""
    import cv2

    y, x = np.mgrid[0 : len(values) - 1 : height * 1j, 0 : values.shape[1] - 1 : width * 1j]
    return cv2.remap(values, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)


def in_light_of(over: Tensor, ours: Tensor, face: Tensor, theirs: Tensor) -> Tensor:
    """A face in the light and colours of another: the mean of its skin, and its contrast, in
    lightness and colour apart (after Reinhard et al., Color Transfer between Images, 2001). What is
    no skin (lips, teeth, eyes) keeps more of its own colour. Off the face as it is.

    over    1 3 H W: the face to show, laid over the other's picture, where it is `face`, 1 1 H W
    ours    its skin's mean and spread in its own picture, 3 2; `theirs`: the other's; see `colour`
    """
    from kornia.color import lab_to_rgb

    (mean, spread), (wanted, wide) = ours.unbind(1), theirs.unbind(1)
    seen = to_lab(over)
    light, hue = seen[:, :1], seen[:, 1:]
    gain = (wide[0] / spread[0].clamp(min=1e-3)).clamp(1 / GAIN, GAIN)
    light = (light - mean[0]) * gain + wanted[0]
    own, other = (tone[1:].view(1, 2, 1, 1) for tone in (mean, wanted))
    skin = (-0.5 * ((hue - own).norm(dim=1, keepdim=True) / HUE).square()).exp()
    paler = (other.norm() / GREY).clamp(max=1)
    hue = hue * (skin + (1 - skin) * paler) + (other - own) * (TINTED + (1 - TINTED) * skin)
    matched = lab_to_rgb(torch.cat([light.clamp(0, 100), hue], dim=1))
    return torch.lerp(over, matched, face)


def to_lab(picture: Tensor) -> Tensor:
    """Lightness in 0..100, and colour. B 3 H W"""
    from kornia.color import rgb_to_lab

    return rgb_to_lab(picture.clamp(0, 1))


def skin_of(size: tuple[int, int], points: Tensor) -> Tensor:
    """A face without eyes, brows and lips. 478 3 in pixels from the first's centre -> 1 1 H W"""
    face, _, *features = outlines_of(points[:, :2].cpu().numpy())
    soft = SOFT * eyes_apart(points)
    skin = filled(face, *size, soft)
    for feature in features:
        skin = skin * (1 - filled(feature, *size, soft))
    return torch.from_numpy(skin)[None, None]


def colour(picture: Tensor, skin: Tensor) -> Tensor:
    """Mean and spread of lightness and colour there (CIELAB). 1 3 H W, 1 1 H W -> 3 2"""
    picture, skin = to_lab(picture), skin.to(picture)
    weight = skin / skin.sum().clamp(min=1e-6)
    mean = (picture * weight).sum((0, 2, 3))
    spread = ((picture - mean.view(-1, 1, 1)).square() * weight).sum((0, 2, 3)).sqrt()
    return torch.stack([mean, spread], dim=1)
