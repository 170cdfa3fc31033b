"""Teeth that a picture shows."""

import numpy as np
import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.networks.face.mouth import Opening
from comfyui_motion.networks.face.pose import Similarity
from comfyui_motion.networks.face.teeth import (
    Window,
    in_pixels,
    in_units,
    of_upper_jaw,
    to_source,
)


@pytest.fixture(scope="module")
def smiling(model, portrait):
    """The drawn face with a wide smile, as a picture of its own, encoded."""
    small = torch.nn.functional.interpolate(portrait, size=(480, 480), mode="area")
    still = model.encode(small)
    posed = motion.pose(still, smile=0.8, mouth_open=0.6)
    return model.encode(model.generate(still, model.motion(still, posed)))


def middle_of_teeth(portrait):
    """The box round what is seen of teeth that no lip comes over."""
    half = (portrait.keypoints.position.new_tensor([480, 480]) - 1) / 2
    points = (portrait.keypoints.position[0] + 1) * half
    upper, lower = points[13], points[14]
    top, tall = float(upper[1]), float(lower[1] - upper[1])
    x = int(upper[0])
    return slice(int(top + 0.45 * tall), int(top + 0.6 * tall)), slice(x - 5, x + 6)


def posed(model, portrait, **dials):
    return model.generate(portrait, model.motion(portrait, motion.pose(portrait, **dials)))[0]


@pytest.mark.parametrize("dials", [{"mouth_wide": 1}, {"mouth_open": 0.5}])
def test_teeth_of_the_picture_stay_while_lips_move(model, smiling, dials):
    box = (slice(None), *middle_of_teeth(smiling))
    moved = posed(model, smiling, **dials)
    assert (moved[box] - smiling.picture[0][box]).abs().mean() < 0.02
    assert (moved - smiling.picture[0]).abs().max() > 0.2  # and lips do


def test_a_shut_mouth_shows_no_teeth_and_a_smile_does(model, portrait, smiling):
    assert smiling.faces[0].teeth is not None
    assert model.encode(portrait).faces[0].teeth is None


def test_teeth_rise_with_a_lip_that_bares_more_than_the_picture_shows():
    curve = np.linspace(-1, 1, 96) ** 2 - 1  # of the upper lip; the lower one hangs as far
    rest = Opening(np.array([20.0, 50]), np.array([60.0, 0]), 0.1 * curve, -0.1 * curve)
    back = np.array([[1.0, 0, 0], [0, 1, 0]])
    higher = Opening(rest.start, rest.across, rest.upper - 0.1, rest.lower)
    middle = np.array([[50.0, 50 - 6 - 6]])  # of the lip, 6 pixels higher than it was
    along, down = Window(higher, rest, back).places(middle)
    assert along[0] == pytest.approx(0.5) and down[0] == pytest.approx(0, abs=0.05)
    along, down = Window(rest, rest, back).places(middle + [[0, 6]])
    assert down[0] == pytest.approx(0, abs=0.01)


def test_lower_teeth_are_not_of_the_upper_jaw():
    tooth = np.zeros((32, 64), np.float32)
    tooth[2:10], tooth[24:] = 1, 1
    upper = of_upper_jaw(tooth)
    assert (upper[:8] > 0.99).all() and (upper[13:] < 0.01).all()


def test_what_carries_teeth_back_undoes_the_head():
    turn = torch.linalg.qr(torch.tensor([[1.0, 0.2, 0.1], [-0.2, 1, 0.1], [0, 0.1, 1]])).Q
    turn = turn * torch.linalg.det(turn)
    head = Similarity(torch.tensor([1.1]), turn[None], torch.tensor([[5.0, -3, 0]]))
    points = torch.tensor([[[10.0, 20, 4], [30, 25, 4]]])
    there = head.apply(points)[0, :, :2].double().numpy()
    back = to_source(head, 0, 4.0)
    assert np.allclose(there @ back[:, :2].T + back[:, 2], points[0, :, :2], atol=1e-4)
    again = in_pixels(in_units(back, (90, 60)), (90, 60), (90, 60))
    assert np.allclose(again, back, atol=1e-4)


def test_a_picture_at_rest_stays_to_the_bit(model, smiling):
    still = model.generate(smiling, model.motion(smiling, smiling.keypoints))
    assert torch.equal(still, smiling.picture)
