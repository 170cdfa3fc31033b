"""A performance on another face: what two lids do together, how far a head goes."""

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.networks.face.keypoints import FaceKeypoints
from comfyui_motion.networks.face.pose import (
    eye_distance,
    facing,
    fit_head,
    looking,
    model_face,
    turned,
)
from comfyui_motion.networks.face.topology import EYES, LIPS
from comfyui_motion.networks.face.transfer import FARTHEST, NEAREST, Face, meeting, quiet, together


def test_lids_that_differ_little_are_one_and_a_wink_stays_a_wink():
    ratio = torch.tensor([[0.5, 0.62], [0.0, 1.0], [1.0, 0.55]])
    found = together(ratio)
    assert torch.equal(found[0], torch.full((2,), 0.56))
    assert torch.allclose(found[1:], ratio[1:])


@pytest.mark.parametrize("apart", [0.05, 0.2, 0.3, 0.6])
def test_two_lids_keep_their_mean_and_which_is_further_open(apart):
    found = together(torch.tensor([[0.6 - apart / 2, 0.6 + apart / 2]]))[0]
    assert found.mean() == pytest.approx(0.6)
    assert 0 <= found[1] - found[0] <= apart + 1e-6


def test_an_outline_of_an_eye_moves_whole_or_not_at_all():
    points = torch.cat([model_face(), model_face()[:10]])[None].float()
    face, (one, other) = Face.of(points), EYES.values()
    apart = float(face.eyes_apart)
    expression = torch.zeros_like(points)
    expression[:, list(one.upper), 1] = 0.1 * apart  # one point goes far, all others a little
    expression[:, list(one.lower), 1] = 0.003 * apart
    expression[:, list(other.outline), 1] = 0.003 * apart
    still = quiet(expression, face)
    assert torch.allclose(still[:, list(one.outline)], expression[:, list(one.outline)], rtol=1e-3)
    assert (
        still[:, list(other.outline)].abs() < 0.01 * expression[:, list(other.outline)].max()
    ).all()


def head(scale=1.0, right=0.0):
    """The canonical face, so many times as large, so many eye distances further right."""
    face = torch.cat([model_face(), model_face()[:10]])[None].float() * 12
    face = face * scale + eye_distance(face) * torch.tensor([right, 0.0, 0.0]) + 250
    return FaceKeypoints.placed(face, torch.tensor([[500, 500]]), confidence=torch.ones(1, 478))


def carried(driving):
    """How far the head goes, in eye distances, and how large it becomes."""
    rest = head()
    posed = motion.retarget(driving, rest, rest)
    found = fit_head(rest.space(), posed.space())
    went = posed.space()[:, 168] - rest.space()[:, 168]
    return float(went.norm() / eye_distance(rest.space())), float(found.scale)


def test_a_head_goes_as_far_as_the_driver_s():
    assert carried(head(right=0.4))[0] == pytest.approx(0.4, abs=0.01)
    assert carried(head(scale=1.12))[1] == pytest.approx(1.12, abs=0.01)


def test_a_driver_who_walks_away_does_not_tear_the_head_off_its_body():
    assert 0.5 < carried(head(right=1.0))[0] < carried(head(right=5.0))[0] <= FARTHEST + 0.01
    assert 1.2 < carried(head(scale=2.5))[1] <= NEAREST + 0.01
    assert 1 / 1.2 > carried(head(scale=0.4))[1] >= 1 / NEAREST - 0.01


def turned_to(yaw, pitch, roll):
    """The canonical face, turned so."""
    face = head()
    turn = turned(*(torch.tensor([float(v)]) for v in (yaw, pitch, roll)))
    return face.moved((face.space() - 250) @ turn.transpose(1, 2) + 250)


@pytest.mark.parametrize("source", [(0, 0, 0), (15, 12, 0), (-18, 8, 5)])
@pytest.mark.parametrize("rest", [(0, -9, 2), (6, 5, -4)])
@pytest.mark.parametrize("there", [(20, -9, 0), (0, 0, 24), (-12, 8, -20)])
def test_a_head_looks_as_much_elsewhere_as_the_driver_s(source, rest, there):
    faces = [turned_to(*pose) for pose in (there, rest, source)]
    driving, start, own, now = (
        looking(facing(face.space()).rotation)[0] for face in (*faces, motion.retarget(*faces))
    )
    assert (now - own - (driving - start)).abs().max() < 0.5


def test_lips_that_were_drawn_apart_meet_again_without_leaving_their_middle():
    posed = model_face()[None].clone()
    upper, lower = (list(row) for row in zip(*LIPS.pairs, strict=True))
    posed[:, lower] = posed[:, upper]
    apart = posed.clone()
    apart[:, lower, 1] += 0.4
    apart[:, upper, 1] -= 0.4
    made = meeting(apart, posed)
    torch.testing.assert_close(made[:, lower], made[:, upper])
    torch.testing.assert_close(made[:, lower], posed[:, lower])
    assert torch.equal(meeting(posed, apart), posed)  # those that lie nearer stay so
