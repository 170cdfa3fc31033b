"""Faces that turn, blink, look, speak and raise their brows: what a pose is, and where it puts
every layer and joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .heads import (
    SPAN,
    Bump,
    Expression,
    Face,
    Head,
    Shell,
)
from .looks import FaceSet
from .paint import Array, Random
from .stage import (
    Flat,
    Frame,
    Layer,
    turned,
)

# What a pose says, each about -1..1 or 0..1, with its neutral value.
POSE = {
    "x": 0.0, "y": 0.0, "size": 0.0, "roll": 0.0, "yaw": 0.0, "pitch": 0.0,
    "open": 0.0, "jaw": 0.0, "smile": 0.0, "pucker": 0.0, "skew": 0.0, "brow_left": 0.0,
    "brow_right": 0.0,
    "lid_left": 0.8, "lid_right": 0.8, "squint": 0.0, "gaze_x": 0.0, "gaze_y": 0.0,
    "body_x": 0.0, "body_y": 0.0, "body_roll": 0.0,
}  # fmt: skip
Pose = dict[str, float]


def random_pose(random: Random, reach: float = 1.0) -> Pose:
    """A pose within `reach` of what a head can do."""
    normal = random.standard_normal(12) * reach
    mouth = 0.0 if random.random() < 0.35 else random.random() * reach
    lids = random.uniform(0.55, 1.0) + random.normal(0, 0.04, 2)
    lids[random.random(2) < 0.15] = random.uniform(0, 0.2)
    brow = random.normal(0, 0.6)
    return {
        "x": 0.16 * normal[0], "y": 0.1 * normal[1], "size": 0.1 * normal[2],
        "roll": 0.16 * normal[3], "yaw": 0.36 * normal[4], "pitch": 0.2 * normal[5],
        "open": mouth, "jaw": mouth * random.uniform(0.4, 1.0),
        "smile": float(np.clip(0.6 * normal[6], -1, 1)),
        "pucker": float(max(0, random.normal(0, 0.5))) if random.random() < 0.5 else 0.0,
        "skew": 0.4 * normal[11],
        "brow_left": float(np.clip(brow + random.normal(0, 0.25), -1, 1)),
        "brow_right": float(np.clip(brow + random.normal(0, 0.25), -1, 1)),
        "lid_left": float(lids[0]), "lid_right": float(lids[1]),
        "squint": float(max(0, 0.4 * normal[7])),
        "gaze_x": float(np.clip(0.5 * normal[8], -1, 1)),
        "gaze_y": float(np.clip(0.4 * normal[9], -1, 1)),
        "body_x": 0.08 * normal[10], "body_y": float(0.05 * random.standard_normal() * reach),
        "body_roll": float(0.06 * random.standard_normal() * reach),
    }  # fmt: skip


def rotation(yaw: float, pitch: float) -> Array:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return (
        np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    ).astype(np.float32)


def expression_of(face: FaceSet, pose: Pose) -> Expression:
    build, (left, right, mouth) = face.build, face.slits
    brow = build.eye_v - build.brow_v
    corner = mouth.v + mouth.curve
    out = 0.05 * pose["smile"] - 0.07 * min(pose["pucker"], 1.2)
    bumps = (
        Bump(-build.eye_u, brow, 0.012 * pose["brow_left"], -0.055 * pose["brow_left"], 0.15, 0.1),
        Bump(
            build.eye_u, brow, -0.012 * pose["brow_right"], -0.055 * pose["brow_right"], 0.15, 0.1
        ),
        Bump(-mouth.half, corner, -out + 0.03 * pose["skew"], -0.06 * pose["smile"], 0.12, 0.14),
        Bump(mouth.half, corner, out + 0.03 * pose["skew"], -0.06 * pose["smile"], 0.12, 0.14),
    )
    lids = [max(0.0, pose["lid_left"]), max(0.0, pose["lid_right"])]
    eye = 0.62 * build.eye_half
    gape = max(0.0, pose["open"])
    return Expression(
        bumps,
        (
            (
                left,
                min(0.09, eye * lids[0]),
                min(0.06, 0.35 * eye * lids[0] * (1 - 0.5 * min(1.0, pose["squint"]))),
            ),
            (
                right,
                min(0.09, eye * lids[1]),
                min(0.06, 0.35 * eye * lids[1] * (1 - 0.5 * min(1.0, pose["squint"]))),
            ),
            (mouth, min(0.1, 0.06 * gape), min(0.2, 0.17 * gape)),
        ),
    )


@dataclass(frozen=True, eq=False)
class PosedFace:
    trunk: ClassVar[int] = 2
    layers: list[Layer]
    order: list[int]
    face: Face
    nose: Shell
    hair: Shell
    body: Flat
    ears: tuple[Flat, Flat]
    scale: float


def pose_face(face: FaceSet, pose: Pose, camera: Frame, behind: Frame) -> PosedFace:
    """Every layer of the face so posed, seen through the camera; the background has a camera of its
    own.
    """
    build = face.build
    height = build.head * float(np.exp(pose["size"]))
    roll = turned(pose["roll"])
    centre = np.array([pose["x"], pose["y"]], np.float32)
    disc = Frame(
        (roll * np.array([height * build.aspect, height], np.float32)).astype(np.float32), centre
    ).after(camera)
    turn = rotation(pose["yaw"], pose["pitch"])
    chin = 0.14 * max(0.0, pose["jaw"])
    head = Head(disc, turn, build.jaw_width, chin)
    skin = Face(
        head,
        expression_of(face, pose),
        face.light,
        face.skin,
        face.eyes,
        face.mouth,
        (0.03 * pose["gaze_x"], 0.015 * pose["gaze_y"]),
        face.outline,
    )
    nose = Shell(Head(disc, turn, build.jaw_width, chin, build.nose_radius), face.light, face.nose)
    hair = Shell(Head(disc, turn, build.jaw_width, chin, face.hair_radius), face.light, face.hair)
    wide, long = face.back_size
    lean = np.array([-0.25 * pose["yaw"], 0.2 * (pose["pitch"]) + 0.5 * long - 0.4], np.float32)
    back = Flat(
        face.back,
        Frame(
            disc.matrix @ np.diag([wide, max(long, 1e-3)]).astype(np.float32),
            disc.matrix @ lean + disc.shift,
        ),
    )
    waist = np.array(
        [
            0.35 * pose["x"] + pose["body_x"],
            0.35 * pose["y"] + build.head * build.body_drop + pose["body_y"],
        ],
        np.float32,
    )
    body_matrix = turned(0.25 * pose["roll"] + pose["body_roll"]) * np.float32(1.55 * build.head)
    body = Flat(
        face.body,
        Frame(body_matrix, waist + body_matrix @ np.array([0, 0.45], np.float32)).after(camera),
    )
    ears = []
    for side in (-1, 1):
        at, facing = head.drop(
            np.array([side * 1.42 / SPAN], np.float32), np.array([build.eye_v + 0.1], np.float32)
        )
        ears.append(
            (
                Flat(
                    face.ear,
                    Frame(
                        disc.matrix @ np.diag([0.13, 0.2]).astype(np.float32),
                        at[0] + disc.matrix[:, 0] * side * 0.04,
                    ),
                ),
                bool(facing[0]),
            )
        )
    layers: list[Layer] = [
        Flat(face.background, behind, endless=True),
        back,
        body,
        ears[0][0],
        ears[1][0],
        skin,
        hair,
        nose,
    ]
    order = [
        0,
        *([1] if long else []),
        2,
        *(3 + i for i in (0, 1) if not ears[i][1] or abs(pose["yaw"]) < 0.25),
        5,
        6,
        7,
    ]
    front = [3 + i for i in (0, 1) if 3 + i not in order]
    order[-2:-2] = front
    if face.spectacles is not None:
        layers.append(
            Shell(Head(disc, turn, build.jaw_width, chin, 1.06), face.light, face.spectacles)
        )
        order.append(8)
    return PosedFace(layers, order, skin, nose, hair, body, (ears[0][0], ears[1][0]), height)


def face_joints(face: FaceSet, posed: PosedFace) -> tuple[Array, Array, np.ndarray]:
    """Where the twenty joints are, how their surroundings lie, and whether they face the viewer.

    20 2, 20 2 2, 20 bool
    """
    build, mouth = face.build, face.slits[2]
    edge = 0.004
    end = mouth.v + mouth.curve
    skin = np.array([
        (-build.eye_u, build.eye_v - build.brow_v), (build.eye_u, build.eye_v - build.brow_v),
        (-build.eye_u, build.eye_v - edge), (build.eye_u, build.eye_v - edge),
        (-build.eye_u, build.eye_v + edge), (build.eye_u, build.eye_v + edge),
        (0, -0.42), (0, build.eye_v),
        (-mouth.half, end), (mouth.half, end), (0, mouth.v - edge), (0, mouth.v + edge), (0, 0.95),
    ], np.float32)  # fmt: skip
    groups = [
        (posed.face, skin, (1 / SPAN, 1.0)),
        (posed.nose, np.array([(0, build.nose_v)], np.float32), (1 / SPAN, 1.0)),
    ]
    ear = np.zeros((1, 2), np.float32)
    groups += [(posed.ears[0], ear, (7.7, 5.0)), (posed.ears[1], ear, (7.7, 5.0))]
    groups += [(posed.hair, np.array([(0, -0.9)], np.float32), (1 / SPAN, 1.0))]
    groups += [
        (posed.body, np.array([(0, -0.3), (-0.62, -0.2), (0.62, -0.2)], np.float32), (0.65, 0.65))
    ]
    found = [surroundings(layer, rest, unit) for layer, rest, unit in groups]
    position, matrix, facing = (np.concatenate(column) for column in zip(*found, strict=True))
    return position, matrix, facing


def surroundings(
    layer: Layer, rest: Array, unit: tuple[float, float], step: float = 0.08
) -> tuple[Array, Array, np.ndarray]:
    """Points of a layer's first part, their local frames in units of a face that fills the picture,
    and whether they face. N 2, N 2 2, N bool
    """
    position, facing = layer.place(rest, 0)
    columns = []
    for axis in range(2):
        shift = np.zeros(2, np.float32)
        shift[axis] = step * unit[axis]
        ahead, behind = layer.place(rest + shift, 0)[0], layer.place(rest - shift, 0)[0]
        columns.append((ahead - behind) / (2 * step * 0.6))
    return position, np.stack(columns, 2), facing
