"""Faces as ControlNets read them."""

from __future__ import annotations

import json

import pytest
import torch

from comfyui_motion import InputError, Keypoints
from comfyui_motion.controlnet import LINES, PUPILS, draw_controlnet_face, to_openpose
from comfyui_motion.networks.face.topology import BROWS, CONTOURS, EYES, LIPS, canonical


@pytest.fixture
def face() -> Keypoints:
    """The canonical face, from the front, its irises between the corners of its eyes."""
    surface = canonical()[:, :2] * torch.tensor([1.0, -1.0]) / 12
    irises = [surface[list(EYES[side].corners)].mean(0).expand(5, 2) for side in EYES]
    return Keypoints(torch.cat([surface, *irises])[None])


def colours(picture: torch.Tensor) -> set[tuple[int, ...]]:
    pixels = (picture * 255).round().int().flatten(1).T
    return {tuple(colour) for colour in pixels.unique(dim=0).tolist()}


def test_a_face_is_drawn_in_the_colours_its_controlnets_know(face):
    picture = draw_controlnet_face(face, 512, 512)[0]
    known = {colour for *_, colour in LINES} | set(PUPILS.values())
    assert colours(picture) == known | {(0, 0, 0)}


def test_its_right_eye_is_on_the_left_of_the_picture_and_lines_are_two_pixels_wide(face):
    picture = (draw_controlnet_face(face, 512, 512)[0] * 255).round()
    right = (picture == torch.tensor([180.0, 200, 10])[:, None, None]).all(0)
    left = (picture == torch.tensor([10.0, 200, 180])[:, None, None]).all(0)
    assert right.nonzero()[:, 1].max() < left.nonzero()[:, 1].min()
    pupil = (picture == torch.tensor([250.0, 200, 10])[:, None, None]).all(0)
    assert pupil.sum() == 16
    chin = (picture[:, :, 256].sum(0) > 0).nonzero()[-4:, 0]
    assert 2 <= len([y for y in chin if y > chin[-1] - 4]) <= 4


def test_lines_follow_the_mesh():
    sets = [set(line) for line, *_ in LINES]
    assert set(CONTOURS["face"]) in sets and set(LIPS.inner) in sets and set(LIPS.outer) in sets
    assert all(set(eye.outline) in sets for eye in EYES.values())
    assert all(set(brow) <= set().union(*sets) for brow in BROWS.values())


def test_where_no_face_was_found_nothing_is_drawn(face):
    lost = Keypoints(
        face.position.expand(2, -1, -1), confidence=torch.tensor([[0.0], [1.0]]).expand(2, 478)
    )
    drawn = draw_controlnet_face(lost, 64, 96)
    assert drawn.shape == (2, 3, 64, 96) and drawn[0].max() == 0 and drawn[1].max() > 0
    assert [len(frame["people"]) for frame in json.loads(to_openpose(lost, 64, 96))] == [0, 1]


def test_openpose_has_its_seventy_points_and_what_a_head_shows_of_a_body(face):
    (frame,) = json.loads(to_openpose(face, 200, 300))
    (person,) = frame["people"]
    points = torch.tensor(person["face_keypoints_2d"]).view(70, 3)
    body = torch.tensor(person["pose_keypoints_2d"]).view(18, 3)
    assert (frame["canvas_width"], frame["canvas_height"]) == (300, 200)
    assert points[8, 1] == points[:, 1].max() and (points[:, 2] == 1).all()  # the chin
    assert points[36, 0] < points[45, 0] and points[48, 0] < points[54, 0]
    assert body[:, 2].nonzero()[:, 0].tolist() == [0, 14, 15, 16, 17]
    assert body[16, 0] < body[14, 0] < body[0, 0] < body[15, 0] < body[17, 0]


def test_other_points_are_refused():
    with pytest.raises(InputError, match="face mesh"):
        draw_controlnet_face(Keypoints(torch.zeros(1, 10, 2)), 64, 64)
