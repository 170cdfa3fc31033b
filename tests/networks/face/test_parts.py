from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.networks.face.parts import NAMES


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
