"""Puppets: endless procedural clips that know the truth, as optical-flow networks learned from
flying chairs (Dosovitskiy et al., 2015).

Faces, jointed figures, animals and loose shapes, in styles from outlines to soft shading, over
plain and busy backgrounds, with a moving camera, changing light, blur and noise. Of every pair the
renderer knows each driving pixel's place in the source, whether it is seen there, and twenty joints
with the way their surroundings lie. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from ... import InputError, Keypoints
from ...geometry.easing import smoothstep
from ..pairs import Pairs, Truth
from .copies import seen_again
from .faces import (
    POSE,
    PosedFace,
    face_joints,
    pose_face,
    random_pose,
)
from .figures import (
    PosedBody,
    animal,
    body_joints,
    figure,
    pose_body,
    random_stance,
    shape,
)
from .looks import paint_face
from .paint import Array, Random
from .stage import (
    Frame,
    Shot,
    shoot,
    truth,
)

JOINTS = (
    "left brow", "right brow", "left upper lid", "right upper lid", "left lower lid",
    "right lower lid", "forehead", "nose bridge",
    "left mouth corner", "right mouth corner", "upper lip", "lower lip", "chin", "nose tip",
    "left ear", "right ear", "crown", "neck",
    "left shoulder", "right shoulder",
)  # fmt: skip
MIRROR = (1, 0, 3, 2, 5, 4, 6, 7, 9, 8, 10, 11, 12, 13, 15, 14, 16, 17, 19, 18)
KINDS = ("face", "figure", "animal", "shape")
UNSEEN = 1_000_000  # seeds from here on are for evaluation: training never draws them
MARGIN = 1.02  # joints this far out are still in view


@dataclass(frozen=True, eq=False)
class PuppetClip:
    """One puppet moving."""

    frames: Tensor  # N 3 H W in 0..1
    kind: str
    joints: Keypoints  # N 20
    known: Tensor  # N 20 bool: in view, facing
    grids: Tensor  # N H W 2: where each pixel is in frame 0, corner-aligned
    visible: Tensor  # N 1 H W: 1 where frame 0 shows it


@dataclass(frozen=True, eq=False)
class Still:
    """One frame and all that is known of it."""

    shot: Shot
    posed: PosedFace | PosedBody
    picture: Array  # S S 3: as a camera gives it, with its light, blur and noise
    position: Array  # 20 2
    matrix: Array  # 20 2 2
    known: np.ndarray  # 20 bool


class Puppet:
    """One subject in its scene, in any number of poses.

    A pose is one array, so poses can be mixed.
    """

    def __init__(
        self, random: Random, kind: str, photographs: Sequence[Array] = (), plain: bool = False
    ) -> None:
        if kind not in KINDS:
            raise InputError(f"There is no kind of puppet {kind!r}; there are {', '.join(KINDS)}.")
        self.kind = kind
        makers = {"figure": figure, "animal": animal, "shape": shape}
        self.face = paint_face(random, photographs) if kind == "face" else None
        self.body = makers[kind](random, photographs) if kind != "face" else None
        self.plain = plain  # as drawn: no noise, no blur, one light
        self.still_camera = random.random() < 0.75
        self.blur = random.uniform(0.4, 1.4) if random.random() < 0.35 and not plain else 0.0
        self.noise = random.uniform(0, 0.01) if random.random() < 0.35 and not plain else 0.0
        self.gain = np.zeros(4) if plain else random.uniform(0, 0.02) * random.random(4)
        self.base = self.pose(random)

    def pose(self, random: Random) -> Array:
        """Anything it can do: subject, then camera 4, background 2, light 4."""
        subject = (
            np.array(list(random_pose(random).values()))
            if self.body is None
            else random_stance(random, self.body)
        )
        camera = (
            random.standard_normal(6)
            * (0.03, 0.03, 0.04, 0.03, 0.02, 0.02)
            * (not self.still_camera)
        )
        return np.concatenate([subject, camera, random.standard_normal(4) * self.gain]).astype(
            np.float32
        )

    def near(self, random: Random, pose: Array) -> Array:
        """A pose not far from that one: small motions matter, so how far is spread evenly over its
        logarithm, 0.06 to 1.

        How a face holds itself and what it does go separate ways, the latter always clearly: people
        speak without nodding.
        """
        other, far = self.pose(random), np.exp(random.uniform(np.log(0.06), 0))
        share = np.full(len(pose), far, np.float32)
        if self.body is None:
            share[6:18] = random.uniform(0.2, 1)
        return pose + share * (other - pose)

    def shoot(self, random: Random, pose: Array, size: int) -> Still:
        subject, view, light = pose[:-10], pose[-10:-4], pose[-4:]
        zoom, turn = float(np.exp(view[2])), float(view[3])
        matrix = zoom * np.array(
            [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32
        )
        camera = Frame(matrix, view[:2].astype(np.float32))
        behind = Frame(matrix * np.float32(1.4), (0.6 * view[:2] + view[4:]).astype(np.float32))
        if self.face is not None:
            posed = pose_face(
                self.face, dict(zip(POSE, subject.tolist(), strict=True)), camera, behind
            )
            position, frames, facing = face_joints(self.face, posed)
        else:
            assert self.body is not None
            posed = pose_body(self.body, subject, camera, behind)
            position, frames, facing = body_joints(self.body, posed)
        shot = shoot(posed.layers, posed.order, size)
        known = facing & (np.abs(position) < MARGIN).all(1)
        return Still(
            shot, posed, self.develop(random, shot.picture, light), position, frames, known
        )

    def develop(self, random: Random, picture: Array, light: Array) -> Array:
        """What the camera makes of it: gain and tint, lens blur, sensor noise."""
        if self.plain:
            return np.clip(picture, 0, 1)
        picture = picture * (1 + light[0] + 0.4 * light[1:])
        if self.blur:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur * picture.shape[0] / 128)
        if self.noise:
            picture = picture + self.noise * random.standard_normal(picture.shape, np.float32)
        return np.clip(picture, 0, 1).astype(np.float32)


class Puppets:
    """Pairs of endless puppets, by seed and step. See `PairSource`.

    `face_share` of them are faces, if faces are among `kinds`; the others come evenly from what
    else there is. `photographs` are used as textures. Each drawing serves `copies` steps: first as
    it is, then turned, zoomed, mirrored and in another light. Raises InputError.
    """

    def __init__(
        self,
        size: int = 128,
        seed: int = 0,
        kinds: Sequence[str] = KINDS,
        face_share: float = 0.7,
        photographs: Sequence[Tensor] = (),
        plain: bool = False,
        copies: int = 1,
    ) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise InputError(
                f"Puppets are {', '.join(KINDS)}; {', '.join(unknown) or 'none'} was asked for."
            )
        if size < 16 or seed < 0:
            raise InputError(
                "Puppets need a size of at least 16 and a seed of at least 0; they were given"
                f" {size} and {seed}."
            )
        if not 0 <= face_share <= 1:
            raise InputError(
                "face_share is the part of all puppets that are faces, 0 to 1, and is"
                f" {face_share}."
            )
        for photograph in photographs:
            if photograph.ndim != 3 or photograph.shape[0] != 3:
                raise InputError(
                    f"Photographs are 3 H W in 0..1, and one is {tuple(photograph.shape)}."
                )
        if copies < 1:
            raise InputError(f"Each drawing serves 1 step or more, and copies is {copies}.")
        self.size, self.seed, self.plain, self.copies = size, seed, plain, copies
        self.drawn = lru_cache(maxsize=2)(self._draw)
        others = [kind for kind in kinds if kind != "face"]
        share = (face_share if others else 1.0) if "face" in kinds else 0.0
        self.kinds = ["face", *others]
        self.odds = [share, *((1 - share) / len(others) for _ in others)]
        self.photographs = [
            np.ascontiguousarray(photograph.permute(1, 2, 0).numpy(), np.float32)
            for photograph in photographs
        ]

    def batch(self, step: int, count: int) -> Pairs:
        """`count` pairs: of each puppet two frames are drawn, and both ways between
        them are pairs.
        """
        if step < 0 or count < 1:
            raise InputError(
                f"A batch is of step 0 or later and holds 1 pair or more; step {step} and {count}"
                " pairs were asked for."
            )
        drawing, copy = divmod(step, self.copies)
        pairs, mirrors = self.drawn(drawing, count)
        return (
            seen_again(
                pairs, np.random.default_rng([self.seed, drawing, count, copy]), MIRROR, mirrors
            )
            if copy
            else pairs
        )

    def _draw(self, drawing: int, count: int) -> tuple[Pairs, np.ndarray]:
        """A batch, and which of its pairs may be mirrored: an animal's left legs are its near ones,
        whichever way it faces.
        """
        pairs: list[tuple[Still, Still]] = []
        mirrors: list[bool] = []
        for number in range((count + 1) // 2):
            random = np.random.default_rng([self.seed, drawing, number])
            puppet = self.puppet(random)
            one, other = (
                puppet.shoot(random, pose, self.size)
                for pose in (puppet.base, puppet.near(random, puppet.base))
            )
            pairs += [(one, other), (other, one)]
            mirrors += 2 * [puppet.kind != "animal"]
        return as_pairs(pairs[:count]), np.array(mirrors[:count])

    def puppet(self, random: Random) -> Puppet:
        return Puppet(
            random, str(random.choice(self.kinds, p=self.odds)), self.photographs, self.plain
        )


def as_pairs(stills: list[tuple[Still, Still]]) -> Pairs:
    """Source and driving stills as one batch, with its truth."""
    found = [truth(driving.shot, source.shot, source.posed.layers) for source, driving in stills]
    source, driving = ([pair[side] for pair in stills] for side in (0, 1))
    return Pairs(
        pictures(source),
        pictures(driving),
        Truth(
            grid=torch.from_numpy(np.stack([grid for grid, _ in found])),
            visible=torch.from_numpy(np.stack([visible for _, visible in found])).float()[:, None],
            source=keypoints(source),
            driving=keypoints(driving),
            known=torch.from_numpy(np.stack([a.known & b.known for a, b in stills])),
            figure=torch.from_numpy(
                np.stack(
                    [still.shot.figure(still.posed.order, still.posed.trunk) for still in source]
                )
            ).float(),
            subject=torch.from_numpy(np.stack([still.shot.subject for still in driving])).float()[
                :, None
            ],
        ),
    )


def pictures(stills: Sequence[Still]) -> Tensor:
    return (
        torch.from_numpy(np.stack([still.picture for still in stills]))
        .permute(0, 3, 1, 2)
        .contiguous()
    )


def keypoints(stills: Sequence[Still]) -> Keypoints:
    return Keypoints(
        torch.from_numpy(np.stack([s.position for s in stills])),
        torch.from_numpy(np.stack([s.matrix for s in stills])),
    )


def puppet_clip(
    seed: int, frames: int = 16, size: int = 256, kind: str | None = None, plain: bool = False
) -> PuppetClip:
    """One puppet, moving smoothly through random poses. The same seed gives the same puppet and the
    same movement, at any size and length.

    Raises InputError.
    """
    if frames < 1 or size < 16:
        raise InputError(
            f"A clip has at least 1 frame and 16 pixels a side; it was asked for {frames} and"
            f" {size}."
        )
    source = Puppets(size, seed, (kind,) if kind else KINDS, plain=plain)
    random, grain = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    puppet = source.puppet(random)
    keys = [puppet.base]
    while len(keys) < 2 + frames // 8:
        keys.append(puppet.near(random, keys[-1]))
    stills = []
    for i in range(frames):
        at = i / 8
        low, part = int(at), at - int(at)
        ease = np.float32(smoothstep(part))
        pose = keys[low] + ease * (keys[low + 1] - keys[low])
        stills.append(puppet.shoot(grain, pose, size))
    found = [truth(still.shot, stills[0].shot, stills[0].posed.layers) for still in stills]
    return PuppetClip(
        frames=pictures(stills),
        kind=puppet.kind,
        joints=keypoints(stills),
        known=torch.from_numpy(np.stack([still.known for still in stills])),
        grids=torch.from_numpy(np.stack([grid for grid, _ in found])),
        visible=torch.from_numpy(np.stack([seen for _, seen in found])).float()[:, None],
    )
