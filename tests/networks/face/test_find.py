from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from comfyui_motion.networks.face.find import STRAY, astray, eye_distance, find_faces
from comfyui_motion.networks.face.region import Region, cut
from comfyui_motion.networks.face.topology import CONTOURS

BRIDGE = 6  # of the nose, between the eyes


def on_grey(picture, height, width, left, top):
    ground = torch.full((1, 3, height, width), 0.4)
    ground[..., top : top + picture.shape[2], left : left + picture.shape[3]] = picture
    return ground


@pytest.fixture(scope="module")
def small(portrait):
    return F.interpolate(portrait, size=240, mode="area")


@pytest.fixture(scope="module")
def face(networks, small):
    (found,) = find_faces(networks, small)[0]
    return found


def test_a_face_is_found_upright(face):
    assert face.score > 0.6 and face.flag > 0.8
    assert abs(face.rotation) < math.radians(5)
    assert 100 < face.size < 140


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_lying_on_its_side_or_head_is_the_same_face(networks, small, face, quarters):
    (turned,) = find_faces(networks, small.rot90(quarters, (2, 3)))[0]
    x, y = face.points[:, 0], face.points[:, 1]
    for _ in range(quarters):
        x, y = y, 240 - x
    off = (turned.points[:, :2] - torch.stack([x, y], dim=-1)).norm(dim=1)
    assert off.max() < 0.08 * eye_distance(face.points)


def test_a_turned_face_says_how_far_it_is_turned(networks, small):
    turned = cut(small, Region(120, 120, 300, math.radians(-60)), 300)
    (found,) = find_faces(networks, turned)[0]
    assert math.degrees(found.rotation) == pytest.approx(60, abs=6)


def test_a_small_face_in_a_large_picture_is_found_where_it_is(networks, portrait, face):
    tiny = F.interpolate(portrait, size=64, mode="area")
    (found,) = find_faces(networks, on_grey(tiny, 480, 640, 500, 40))[0]
    expected = face.points[:, :2] * 64 / 240 + torch.tensor([500.0, 40.0])
    assert (found.points[:, :2] - expected).norm(dim=1).mean() < 0.06 * found.size


def test_faces_come_from_left_to_right(networks, small):
    lesser = F.pad(F.interpolate(small, size=120, mode="area"), (60, 60, 60, 60), value=0.4)
    row = torch.cat([small, lesser.flip(-1), small], dim=-1)
    faces = find_faces(networks, row)[0]
    assert [round(sum(face.box[::2]) / 2 / 240 - 0.5) for face in faces] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["black", "noise", "spokes"])
def test_what_is_no_face_is_none(networks, kind):
    picture = torch.zeros(1, 3, 200, 200)
    if kind == "noise":
        picture = torch.rand(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    if kind == "spokes":
        steps = torch.linspace(-1, 1, 200)
        angle = torch.atan2(steps[:, None], steps[None])
        radius = (steps[:, None].square() + steps.square()).sqrt()
        picture = (
            ((angle * 12).sin() * (radius < 0.8) * (radius > 0.2))
            .clamp(0, 1)
            .expand(1, 3, 200, 200)
        )
    assert find_faces(networks, picture) == [[]]


def test_points_on_a_face_stay_when_looked_at_from_elsewhere(networks, small, face):
    assert max(astray(networks, small, face)) < 0.06


def masked(picture, points, colour):
    """Somebody with a cloth from the bridge of the nose to below the chin. 1 3 H W, 478 3"""
    ring = CONTOURS["face"]
    below = [i for i in ring if points[i, 1] > points[BRIDGE, 1]]
    outline = torch.cat([points[below, :2], points[[BRIDGE], :2]]).numpy()
    cloth = np.zeros(picture.shape[2:], np.uint8)
    cv2.fillPoly(cloth, [cv2.convexHull(outline).astype(np.int32)], 1)
    return torch.where(torch.from_numpy(cloth).bool(), colour, picture)


@pytest.mark.parametrize("colour", [0.2, 0.9])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_face_behind_a_mask_is_a_face(networks, small, face, colour, mirrored):
    picture = masked(small, face.points, colour)
    (found,) = find_faces(networks, picture.flip(-1) if mirrored else picture)[0]
    if mirrored:
        assert max(astray(networks, picture.flip(-1), found)) > STRAY  # it alone would not do
    assert 0.8 < found.size / face.size < 1.25
