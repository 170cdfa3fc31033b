"""A portrait's keypoints put right: with its own nothing changes, with others it moves as if they
had been detected.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

HOUR, BODY = HourglassShape(4, 16, 2), BodyShape(8, 16, 2, 1)
SMALL = {
    "fomm": {
        "keypoints": 3,
        "jacobians": 3,
        "detector": HOUR,
        "dense": HOUR,
        "body": BODY,
        "size": 64,
    },
    "mraa": {
        "regions": 3,
        "detector": HOUR,
        "flow": HOUR,
        "background_encoder": HOUR,
        "body": BODY,
        "size": 64,
    },
    "tpsmm": {"splines": 2, "dense": HOUR, "inpainting": HourglassShape(4, 16, 3), "size": 64},
    "copart": {"parts": 3, "affines": 3, "segmentation": HOUR, "body": BODY, "size": 64},
    "monkeynet": {
        "keypoints": 3,
        "detector": HOUR,
        "dense": HOUR,
        "generator": HOUR,
        "refinement": 1,
        "size": 64,
    },
}


def small(family: str) -> motion.MotionModel:
    torch.manual_seed(0)
    return motion.build(family, **SMALL[family])


@pytest.mark.parametrize("family", SMALL)
@torch.inference_mode()
def test_its_own_keypoints_change_nothing(family):
    model = small(family)
    source, driving = torch.rand(2, 2, 3, 64, 64)
    portrait, pose = model.encode(source), model.detect(driving)
    again = model.repose(portrait, portrait.keypoints)
    expected, found = model.motion(portrait, pose), model.motion(again, pose)
    assert torch.equal(found.grid, expected.grid)
    assert torch.equal(model.generate(again, found), model.generate(portrait, expected))


@pytest.mark.parametrize("family", SMALL)
@torch.inference_mode()
def test_keypoints_given_are_those_it_moves_by(family):
    model = small(family)
    portrait, other = (model.encode(picture) for picture in torch.rand(2, 1, 3, 64, 64))
    moved = model.repose(portrait, motion.Keypoints(other.keypoints.position + 0.3))
    assert torch.equal(moved.keypoints.position, other.keypoints.position + 0.3)
    if portrait.keypoints.jacobian is not None:
        assert torch.equal(moved.keypoints.jacobian, portrait.keypoints.jacobian)
    assert not torch.equal(
        model.motion(moved, other.keypoints).grid, model.motion(portrait, other.keypoints).grid
    )


@torch.inference_mode()
def test_a_region_without_covariance_extends_as_its_frame_says():
    portrait = small("mraa").encode(torch.rand(1, 3, 64, 64))
    frame = torch.tensor([[0.3, 0.1], [0.0, 0.2]]).expand(1, 3, 2, 2)
    moved = small("mraa").repose(portrait, motion.Keypoints(portrait.keypoints.position, frame))
    assert torch.allclose(moved.keypoints.covariance, frame @ frame.mT)


@torch.inference_mode()
def test_what_cannot_be_replaced_is_refused():
    model = small("fomm")
    portrait = model.encode(torch.rand(1, 3, 64, 64))
    with pytest.raises(motion.InputError, match="1 x 3 keypoints, and 1 x 2 were given"):
        model.repose(portrait, portrait.keypoints.map(lambda value: value[:, :2]))
    flow = motion.load("flow")
    with pytest.raises(motion.InputError, match="cannot be replaced"):
        flow.repose(replace(portrait, keypoints=None), portrait.keypoints)
