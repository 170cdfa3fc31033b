"""The mesh over a frame: what lies over what."""

import numpy as np

from comfyui_motion.networks.face.eyes import behind, openings
from comfyui_motion.networks.face.pose import model_face
from comfyui_motion.networks.face.raster import corners, draw, turned
from comfyui_motion.networks.face.topology import EYES

SIDE = 200


def turned_face(yaw):
    """The canonical face in a picture, turned so many degrees: 478 3, and what turned it, 2 2."""
    angle = np.deg2rad(yaw)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    face = np.concatenate([model_face().double().numpy(), np.zeros((10, 3))])
    for eye in EYES.values():
        rim = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [-0.5, 0, 0], [0, -0.5, 0]]
        face[list(eye.iris)] = face[list(eye.outline)].mean(0) + np.array(rim)
    points = face @ turn.T * 8 + SIDE / 2
    return points, turn[:2, :2]


def test_of_a_frontal_face_nothing_is_turned_away_and_of_a_profile_much():
    assert turned(turned_face(0)[0][corners()]).mean() < 0.05
    assert turned(turned_face(70)[0][corners()]).mean() > 0.2


def test_skin_that_is_turned_away_lies_over_no_eye():
    rest = turned_face(0)[0]
    for yaw in (-50, 50):
        posed, _ = turned_face(yaw)
        raster = draw(rest, posed, SIDE, SIDE)
        away = np.concatenate([[False], turned(posed[corners()])])
        for side, eye in EYES.items():
            middle = posed[list(eye.outline), :2].mean(0).round().astype(int)
            label = raster.label[middle[1] - raster.top, middle[0] - raster.left]
            assert openings()[side][label] or not away[label]


def test_an_eyeball_is_read_at_its_own_place_however_the_head_is_turned():
    rest = turned_face(20)[0]
    for yaw in (-20, 20, 45):
        posed, linear = turned_face(yaw)
        linear = linear @ np.linalg.inv(turned_face(20)[1])
        for eye in EYES.values():
            ids = [*eye.upper[2:5], *eye.lower[2:5]]
            seen = behind(posed[ids, :2], eye, rest[:, :2], posed[:, :2], linear)
            width = np.hypot(*(rest[eye.ends[0]] - rest[eye.ends[1]])[:2])
            assert np.abs(seen - rest[ids, :2]).max() < 0.12 * width
