"""The faces of a picture: detector, then mesh, then doubt.

The detector looks at the whole picture, then, where that shows none or small ones only, at squares
of it. What it finds must look like a face to the mesh as well, and stay where it is when the mesh
looks from elsewhere: points on a face stay on the face, points on a cat's cheek or a wheel go along
with the square. Faces that are half hidden, by a mask or because they are seen from the side, stay
less well: there detector and mesh must see eyes, nose and mouth in the same places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .detector import SIDE as DETECTED
from .mesh import SIDE as MESHED
from .networks import SeesFaces
from .region import Region, cut
from .topology import EYES, LIPS, SURFACE

SCORE, FLAG = 0.6, 0.8  # what detector and mesh must say
OVERLAP = 0.3  # of two boxes, from which they are of one face
TURNS = (0.0, math.pi, math.pi / 2, -math.pi / 2)  # of the whole picture, until there is a face
SQUARES = (0.66, 0.4, 0.25)  # of the longer side
SMALL = 0.2  # of the longer side: where no face is larger, there may be others
LEAST = 14.0  # pixels a face measures at least
ROUNDS = 3  # the mesh looks again where it found the face
STRAY = 0.08  # of the face's size: how far points may move when the mesh looks from elsewhere
SURE = 0.75, 0.99  # what detector and mesh must say of a face that strays further
AGREED = 0.08  # of its size: how far detector and mesh then see its eyes, nose and mouth apart
NOSE_TIP = 1
SHAKES = ((0.1, 0.06, 1.25, 0.15), (-0.09, -0.08, 0.9, -0.2))  # x and y in sides, scale, radians


@dataclass(frozen=True, eq=False)
class Guess:
    """What the detector takes for a face; pixels, 0 the picture's outer edge."""

    score: float  # 0..1
    region: Region  # where the mesh is to look
    points: Tensor  # 6 2, see `detector.POINTS`


@dataclass(frozen=True, eq=False)
class Face:
    """One face of one picture; pixels, 0 the picture's outer edge."""

    points: Tensor  # 478 3: x, y and depth, which grows away from the viewer
    score: float  # of the detector, 0..1
    flag: float  # of the mesh, 0..1

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Round the face's surface: left, top, right, bottom."""
        low, high = (ends.tolist() for ends in self.points[:SURFACE, :2].aminmax(dim=0))
        return low[0], low[1], high[0], high[1]

    @property
    def region(self) -> Region:
        """Where the mesh looks for it next."""
        return Region.of_points(self.points)

    @property
    def rotation(self) -> float:
        """How far it lies from upright in the picture, in radians, clockwise."""
        return self.region.angle

    @property
    def size(self) -> float:
        """The longer side of its box."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


@torch.no_grad()
def find_faces(networks: SeesFaces, pictures: Tensor) -> list[list[Face]]:
    """The faces of each picture, from left to right. B 3 H W in 0..1, any size"""
    return [find_in(networks, picture[None]) for picture in pictures.float().nan_to_num(0)]


def find_in(networks: SeesFaces, picture: Tensor) -> list[Face]:
    """The faces of one picture, from left to right. 1 3 H W"""
    height, width = picture.shape[-2:]
    longer = max(height, width)
    whole = Region.whole(height, width)
    faces: list[Face] = []
    for turn in TURNS:
        faces = faces or seen_in(networks, picture, [replace(whole, angle=turn)])
    for share in SQUARES:
        if faces and max(face.size for face in faces) > min(SMALL, share / 2) * longer:
            break
        if share * longer < 2 * LEAST:
            break
        faces += seen_in(networks, picture, squares(height, width, share), faces)
    return sorted(faces, key=lambda face: face.box[0] + face.box[2])


def squares(height: int, width: int, share: float) -> list[Region]:
    """Squares of one size all over a picture, half over one another."""
    side = share * max(height, width)

    def places(length: int) -> list[float]:
        steps = math.ceil((length - side) / (side / 2)) if length > side else 0
        return [
            side / 2 + (length - side) * step / steps if steps else length / 2
            for step in range(steps + 1)
        ]

    return [Region(x, y, side) for y in places(height) for x in places(width)]


def seen_in(
    networks: SeesFaces, picture: Tensor, regions: list[Region], known: Sequence[Face] = ()
) -> list[Face]:
    """What looks like a face in some squares of a picture, and stays one when looked at again;
    without those that are known.
    """
    found: list[tuple[Face, Guess]] = []
    for guess in detected(networks, picture, regions):
        seen = (*known, *(face for face, _ in found))
        if any(guess.region.apart(face.region) < 1 for face in seen):
            continue  # the mesh would settle where it has already
        face = settle(networks, picture, guess)
        found += [] if face is None else [(face, guess)]
    new = [face for face in distinct([face for face, _ in found]) if not one_of(face, known)]
    guesses = dict(found)
    return [face for face in new if steady(networks, picture, face, guesses[face])]


def detected(networks: SeesFaces, picture: Tensor, regions: list[Region]) -> list[Guess]:
    """What the detector finds in some squares of a picture, surest first."""
    shown = torch.cat([cut(picture, region, DETECTED) for region in regions])
    guesses = networks.detector(shown)
    found = []
    for i, region in enumerate(regions):
        likely = guesses.score[i] >= SCORE
        rows = (part[i][likely].cpu() for part in (guesses.box, guesses.points, guesses.score))
        for box, points, score in merged(*rows):
            there = Region.of_detection(box, points, region)
            found.append(Guess(score, there, region.outside(points)))
    return sorted(found, key=lambda guess: -guess.score)


def merged(box: Tensor, points: Tensor, score: Tensor) -> Iterable[tuple[Tensor, Tensor, float]]:
    """Boxes that overlap, as their weighted mean (BlazeFace, section 3.3). N 4, N 6 2, N"""
    left = score.argsort(descending=True)
    while len(left):
        same = overlap(box[left[0]], box[left]) > OVERLAP
        same[0] = True
        group, weight = left[same], score[left[same]] / score[left[same]].sum()
        yield (
            (box[group] * weight[:, None]).sum(0),
            (points[group] * weight[:, None, None]).sum(0),
            float(score[left[0]]),
        )
        left = left[~same]


def overlap(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union. 4, N 4 -> N"""
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return common / (areas - common).clamp(min=1e-9)


def look(networks: SeesFaces, pictures: Tensor, region: Region) -> tuple[Tensor, Tensor]:
    """The mesh of what is there in each picture: points in pixels, and how sure it is.

    B 3 H W -> B 478 3, B; on the CPU
    """
    points, flag = networks.mesh(cut(pictures, region, MESHED))
    return region.outside(points.cpu() / MESHED), flag.cpu()


def settle(networks: SeesFaces, picture: Tensor, guess: Guess) -> Face | None:
    """The face there, looked at where it was found until it stays; None where it is none."""
    region = guess.region
    for _ in range(ROUNDS):
        points, flag = look(networks, picture, region)
        if flag[0] < 0.1:
            return None
        region = Region.of_points(points[0])
    face = Face(points[0], guess.score, float(flag[0]))
    return face if face.flag >= FLAG and face.size >= LEAST else None


def steady(networks: SeesFaces, picture: Tensor, face: Face, guess: Guess) -> bool:
    """Whether it is still the same face when the mesh looks from elsewhere; a large one may stay
    once only, where mesh and detector are sure and see it alike.
    """
    stays = [far < STRAY for far in astray(networks, picture, face)]
    if all(stays) or not any(stays) or face.size < SMALL * max(picture.shape[-2:]):
        return all(stays)
    sure = all(told >= least for told, least in zip((face.score, face.flag), SURE, strict=True))
    return sure and disagreement(face, guess) < AGREED


def astray(networks: SeesFaces, picture: Tensor, face: Face) -> list[float]:
    """How far its points move when the mesh looks from elsewhere, in its size, for each of
    `SHAKES`; infinitely, where it sees no face then.
    """
    found = []
    for shake in SHAKES:
        points, flag = look(networks, picture, face.region.moved(*shake))
        off = (points[0, :SURFACE, :2] - face.points[:SURFACE, :2]).norm(dim=1)
        found.append(float(off.mean()) / face.size if flag[0] >= FLAG / 2 else math.inf)
    return found


def disagreement(face: Face, guess: Guess) -> float:
    """How far mesh and detector see eyes, nose and mouth apart, in the face's size."""
    right, left = (face.points[EYES[side].iris[0]] for side in ("right_eye", "left_eye"))
    mouth = face.points[list(LIPS.inner)].mean(0)
    seen = torch.stack([right, left, face.points[NOSE_TIP], mouth])[:, :2]
    return float((guess.points[:4] - seen).norm(dim=1).mean()) / face.size


def distinct(faces: list[Face]) -> list[Face]:
    """Without those that are one of the others, the surest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not one_of(face, kept):
            kept.append(face)
    return kept


def one_of(face: Face, others: Sequence[Face]) -> bool:
    """Whether it is one of those, by where it is."""
    boxes = torch.tensor([other.box for other in others]).view(-1, 4)
    return bool((overlap(torch.tensor(face.box), boxes) > OVERLAP).any())


def eye_distance(points: Tensor) -> Tensor:
    """Between the outer corners of the eyes, in space. ... 478 3 -> ..."""
    right, left = (EYES[side].corners[0] for side in ("right_eye", "left_eye"))
    return (points[..., left, :] - points[..., right, :]).norm(dim=-1)
