from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.networks.face.parts import NAMES, across
from comfyui_motion.networks.face.pose import model_face
from comfyui_motion.networks.face.topology import CONTOURS


@pytest.fixture(scope="module")
def small(portrait):
    return F.interpolate(portrait, size=240, mode="area")


def test_parts_share_out_every_pixel_and_lie_where_they_do(model, small):
    parts = model.segment(small)
    assert parts.shape == (1, len(NAMES), 240, 240)
    torch.testing.assert_close(parts.sum(1), torch.ones(1, 240, 240), atol=1e-4, rtol=0)
    x, y = torch.meshgrid(torch.arange(240.0), torch.arange(240.0), indexing="xy")
    middles = {
        name: (float((x * part).sum() / part.sum()), float((y * part).sum() / part.sum()))
        for name, part in zip(NAMES, parts[0], strict=True)
    }
    assert middles["right eye"][0] < middles["nose"][0] < middles["left eye"][0]
    assert middles["brows"][1] < middles["right eye"][1] < middles["nose"][1] < middles["lips"][1]
    assert parts[0, 0, :10, :10].min() > 0.9  # the corner is background


def test_without_a_face_there_is_background_or_a_person(model):
    parts = model.segment(torch.full((1, 3, 64, 64), 0.5))
    assert parts[:, 2:].abs().max() == 0


def test_someones_eyes_come_into_anothers_picture_and_nothing_else_changes(model, small):
    other = (small.flip(-1) * torch.tensor([0.7, 0.9, 1.1]).view(3, 1, 1)).clamp(0, 1)
    target = F.pad(other, (20, 0, 0, 0), mode="replicate")
    swapped = motion.swap_parts(model, small, target, [4, 5])
    where = model.segment(target)[:, 4:6].sum(1)
    changed = (swapped - target).abs().amax(1)
    assert swapped.shape == target.shape
    assert changed[where > 0.9].mean() > 0.01 and changed[where == 0].max() < 1e-5


def test_a_face_swapped_with_itself_stays(model, small):
    swapped = motion.swap_parts(model, small, small, [2, 4, 5, 6, 7])
    assert (swapped - small).abs().max() < 0.03


def test_a_target_without_a_face_is_refused_in_a_sentence(model, small):
    with pytest.raises(motion.InputError, match="shows no face"):
        motion.swap_parts(model, small, torch.zeros(1, 3, 64, 64), [7])


def test_lips_in_another_light_stay_lips(model, small):
    pale = (small * 0.5 + torch.tensor([0.5, 0.48, 0.46]).view(3, 1, 1)).clamp(0, 1)
    swapped = motion.swap_parts(model, small, pale, [7])
    lips = model.segment(pale)[:, 7:] > 0.9
    red, _, blue = (swapped[:, i : i + 1][lips].mean() for i in range(3))
    assert red > blue + 0.05  # neither purple nor grey
    assert swapped[:, :1][lips].mean() > small[:, :1][lips].mean()  # and lighter


def test_what_lies_beyond_a_face_is_beyond_the_other_too():
    face = model_face().double().numpy() * 8 + [100, 100, 0]
    turn = np.array([[0.92, 0, 0.38], [0, 1, 0], [-0.38, 0, 0.92]])
    other = (face - [100, 100, 0]) @ turn.T + [100, 100, 0]
    ours, theirs = (np.concatenate([p, p[:10]]) for p in (face, other))
    grid = across(ours, theirs, (200, 200), (200, 200)).numpy()
    places = (grid + 1) / 2 * 199
    ring = theirs[list(CONTOURS["face"]), :2]
    outside = ring + 0.12 * (ring - ring.mean(0))
    x, y = outside.round().astype(int).T
    line = ours[list(CONTOURS["face"]), :2].astype(np.float32)
    far = [cv2.pointPolygonTest(line, tuple(map(float, p)), True) for p in places[y, x]]
    assert max(far) < 1.5  # pixels inside
