"""An eye that the mesh misreads has the outline of the other, where both look alike."""

import numpy as np
import pytest

from comfyui_motion.networks.face.alike import evened, mirrored, opening
from comfyui_motion.networks.face.find import find_in
from comfyui_motion.networks.face.topology import EYES, SURFACE

SIDES = sorted(EYES)


@pytest.fixture(scope="module")
def seen(networks, portrait):
    """The drawn face, 480 480 3, and its points, 478 3."""
    picture = portrait[..., ::2, ::2]
    points = find_in(networks, picture)[0].points.double().numpy() - [0.5, 0.5, 0]
    return np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy()), points


def narrowed(points, side, share=0.3):
    eye = EYES[side]
    narrow = points.copy()
    upper, lower = list(eye.upper), list(eye.lower)
    middle = (points[upper] + points[lower]) / 2
    for ids in (upper, lower):
        narrow[ids] = middle + share * (points[ids] - middle)
    return narrow


@pytest.mark.parametrize("side", SIDES)
def test_an_eye_misread_as_nearly_shut_is_as_open_as_the_other(seen, side):
    picture, points = seen
    narrow = narrowed(points, side)
    found = narrow[:SURFACE, :2] + evened(picture, narrow, np.zeros((SURFACE, 2)))
    assert opening(narrow[:, :2], side) < 0.4 * opening(points[:, :2], side)
    assert opening(found, side) == pytest.approx(opening(points[:, :2], side), rel=0.15)


@pytest.mark.parametrize("side", SIDES)
def test_an_eye_that_looks_shut_stays_shut(seen, side):
    picture, points = seen
    eye = points[list(EYES[side].outline), :2]
    left, top = eye.min(0).astype(int) - 12
    right, bottom = eye.max(0).astype(int) + 12
    shut = picture.copy()
    shut[top:bottom, left:right] = np.median(picture[bottom : bottom + 6, left:right], axis=(0, 1))
    narrow = narrowed(points, side)
    assert not evened(shut, narrow, np.zeros((SURFACE, 2))).any()


def test_eyes_that_are_read_alike_stay_as_they_are(seen):
    picture, points = seen
    assert not evened(picture, points, np.zeros((SURFACE, 2))).any()


def test_a_face_lies_upon_its_mirror_image_wherever_it_is_turned(seen):
    points = seen[1][:SURFACE, :2]
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    apart = np.hypot(*(points[33] - points[263]))
    for face in (points, points @ turn.T * 1.7 + [50, -30]):
        off = np.hypot(*(mirrored(face) - face).T) / apart
        assert off.mean() < 0.03 * (1 if face is points else 1.7)
    np.testing.assert_allclose(
        mirrored(points @ turn.T), mirrored(points) @ turn.T, atol=1e-6 * apart
    )
