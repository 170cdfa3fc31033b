"""What a face's points say of its head: exact on the canonical face."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.framing import landmarks
from comfyui_motion.framing.landmarks import head_box, pose


def turned(points: torch.Tensor, axis: int, degrees: float) -> torch.Tensor:
    a, b = [i for i in range(3) if i != axis]
    turn = torch.eye(3)
    angle = math.radians(degrees)
    turn[a, a] = turn[b, b] = math.cos(angle)
    turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
    middle = points.mean(0)
    return (points - middle) @ turn.T + middle


def test_the_head_reaches_beyond_the_face(points_at):
    face = points_at(100, 100, 5)
    left, top, right, bottom = head_box(face[None])
    low, high = face[:, :2].amin(0), face[:, :2].amax(0)
    assert top < low[1] - 20 and left < low[0] and right > high[0]
    assert bottom == pytest.approx(float(high[1]), abs=1)


def test_the_box_goes_along_with_a_face_on_its_side(points_at):
    lying = turned(points_at(100, 100, 5), 2, 90)
    left, top, right, bottom = head_box(lying[None])
    assert right - left > bottom - top


def test_a_pose_does_not_tell_place_or_size(points_at):
    both = torch.stack([points_at(100, 100, 5), points_at(300, 40, 11)])
    told = pose(both)
    assert_close(told[0], told[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("axis", "number"), [(1, 0), (0, 1), (2, 2)], ids=["yaw", "pitch", "roll"])
def test_a_turn_is_told_where_it_belongs(points_at, axis, number):
    face = points_at(100, 100, 5)
    change = (pose(turned(face, axis, 15)[None]) - pose(face[None]))[0].abs()
    assert change[number] > 1 and change[number] == change[:3].max()


@pytest.mark.parametrize(
    ("points", "by", "number"),
    [((14,), (0, 6, 0), 3), ((159, 386), (0, 5, 0), 4), ((61, 291), (0, -6, 0), 5)],
    ids=["mouth", "lids", "smile"],
)
def test_what_a_face_does_is_told_where_it_belongs(points_at, points, by, number):
    face = points_at(100, 100, 5)
    changed = face.clone()
    changed[list(points)] += torch.tensor(by, dtype=torch.float32)
    change = (pose(changed[None]) - pose(face[None]))[0].abs()
    assert change[number] > 0.5 and int(change.argmax()) == number


def test_what_is_laid_over_another_face_is_on_both_sides(points_at):
    middle = points_at(0, 0, 1)[list(landmarks.CORE)].mean(0)
    assert abs(float(middle[0])) < 0.1
