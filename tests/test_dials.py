"""Dials: a face posed by hand, alone, on a clip's motion, and eased between keys."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import Dials, InputError, Keypoints, eased
from comfyui_motion.dials import around
from comfyui_motion.posed import EYES, LIPS, PosedKeypoints


def face(count=3):
    generator = torch.Generator().manual_seed(0)
    return PosedKeypoints.placed(
        canonical=torch.rand(count, 21, 3, generator=generator) - 0.5,
        expression=0.02 * torch.rand(count, 21, 3, generator=generator),
        rotation=10 * torch.rand(count, 3, generator=generator),
        scale=1 + torch.rand(count, generator=generator),
        translation=torch.zeros(count, 3),
    )


DIALS = [f.name for f in dataclasses.fields(Dials)]


@pytest.mark.parametrize("name", DIALS)
def test_every_dial_moves_the_face_and_none_changes_nothing(name):
    points = face()
    assert torch.equal(motion.pose(points).x, points.x)
    value = (1.0, 0.0) if name == "gaze" else 1.0
    assert (motion.pose(points, **{name: value}).x - points.x).abs().max() > 1e-3


def test_dials_of_the_head_turn_it_and_leave_the_expression():
    turned = motion.pose(face(), yaw=10.0, pitch=-5.0, roll=3.0)
    assert_close(turned.expression, face().expression)
    assert_close(turned.rotation - face().rotation, torch.tensor([-5.0, -10, 3]).expand(3, 3))


def test_a_head_that_turns_right_shows_its_nose_further_right():
    nose = torch.zeros(1, 21, 3)
    nose[..., 2] = -1  # towards the viewer
    still = torch.zeros(1, 3)
    points = PosedKeypoints.placed(nose, torch.zeros(1, 21, 3), still, torch.ones(1), still)
    assert (motion.pose(points, yaw=20.0).position[..., 0] > 0.3).all()
    assert (motion.pose(points, pitch=20.0).position[..., 1] > 0.3).all()


def test_mouth_dials_move_no_eye_and_a_blink_is_both_winks():
    points = face()

    def moved(**dials):
        change = (motion.pose(points, **dials).expression - points.expression).abs().amax((0, 2))
        return set(change.nonzero()[:, 0].tolist())

    assert moved(mouth_open=1.0) <= set(LIPS)
    assert {11, 15} <= moved(blink=1.0) and 11 not in moved(wink_left=1.0)
    assert moved(gaze=(0.5, 0.5)) <= set(EYES)
    blink, both = motion.pose(points, blink=0.6), motion.pose(points, wink_left=0.6, wink_right=0.6)
    assert_close(blink.x, both.x)
    assert_close(motion.pose(points, blink=1.0, wink_left=1.0).x, motion.pose(points, blink=1.0).x)


def test_a_portrait_is_posed_by_its_keypoints():
    portrait = motion.Portrait(torch.rand(1, 3, 8, 8), face(1))
    assert_close(motion.pose(portrait, smile=1.0).x, motion.pose(face(1), smile=1.0).x)


def test_keys_are_held_at_both_ends_and_eased_between():
    poses = eased({2: Dials(smile=0.0), 6: Dials(smile=1.0, gaze=(0.5, 0.0))}, 9)
    smiles = [pose.smile for pose in poses]
    assert smiles[:3] == [0, 0, 0] and smiles[6:] == [1, 1, 1]
    assert smiles[4] == pytest.approx(0.5) and smiles[3] < 0.25 and smiles[5] > 0.75
    assert poses[4].gaze == pytest.approx((0.25, 0.0))
    assert eased({5: Dials(roll=3.0)}, 2) == [Dials(roll=3.0)] * 2


def test_what_no_dial_can_be_is_refused():
    for wrong in ({"smile": 2.0}, {"yaw": 200.0}, {"blink": float("nan")}, {"gaze": 1.0}):
        with pytest.raises(InputError):
            motion.pose(face(), **wrong)
    with pytest.raises(InputError, match="no such dial"):
        motion.pose(face(), grin=1.0)
    with pytest.raises(InputError, match="no dial 'grin'"):
        Dials.of({"grin": 1.0})
    with pytest.raises(InputError, match="another model's"):
        motion.pose(Keypoints(torch.rand(1, 10, 2)), smile=1.0)
    with pytest.raises(InputError, match="at least one key"):
        eased({}, 4)


def test_an_expression_comes_stands_and_goes_round_its_frame():
    poses = around(Dials(smile=1.0), frame=4, ease=3, frames=12)
    smiles = [pose.smile for pose in poses]
    assert smiles[0] == 0 and smiles[4] == 1 and smiles[8:] == [0] * 4
    assert smiles[1:5] == sorted(smiles[1:5]) and smiles[3] == pytest.approx(smiles[5])
    alone = [pose.smile for pose in around(Dials(smile=1.0), frame=2, ease=0, frames=5)]
    assert alone == [0, 0, 1, 0, 0]
