"""Who moves whom: a driver for all faces or for each, measured from a frame or from a picture."""

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.numbering import numbered_faces
from tests.heads.acting import CENTRE, DRIVER, STEP, face_points, noise, run

LEFT, RIGHT = face_points(60, 60, 24), face_points(180, 60, 26, 0.2)


@pytest.fixture
def two(shown):
    return shown([LEFT, RIGHT], DRIVER[:4])


GROUP, ONE, OTHER = noise(120, 240), noise(80, 100, 4), noise(81, 100, 4).flip(0)


def test_each_face_moves_as_its_own_driver_does(two):
    both, steps = run(two, GROUP, ONE, drivers={2: OTHER})
    left, _ = run(two, GROUP, ONE, face=1)
    right, _ = run(two, GROUP, OTHER, face=2)
    assert_close(both[..., :120], left[..., :120], atol=1e-6, rtol=0)
    assert_close(both[..., 120:], right[..., 120:], atol=1e-6, rtol=0)
    assert (left - GROUP).abs().max() > 5 * STEP and (right - GROUP).abs().max() > 5 * STEP
    moved = torch.cat([step.field.warp(GROUP) for step in steps]) - GROUP
    assert moved[..., :120].abs().max() > STEP and moved[..., 120:].abs().max() > STEP


def test_the_clip_moves_the_faces_that_have_no_driver_of_their_own(two):
    swapped, _ = run(two, GROUP, ONE, drivers={1: OTHER})
    right, _ = run(two, GROUP, ONE, face=2)
    assert_close(swapped[..., 120:], right[..., 120:], atol=1e-6, rtol=0)
    everyone, _ = run(two, GROUP, ONE, drivers={1: OTHER}, face=-1)
    assert torch.equal(everyone, swapped)


def test_an_animation_by_two_drivers_ends_with_the_shorter_and_says_so(two, caplog):
    streamed, _ = run(two, GROUP, iter(ONE.split(3)), drivers={2: iter(OTHER[:3].split(1))})
    assert len(streamed) == 3
    assert "4, 3 frames: the animation ends with the shortest" in caplog.text
    assert torch.equal(streamed, run(two, GROUP, ONE, drivers={2: OTHER[:3]})[0])


def test_drivers_of_faces_that_are_not_there_or_have_one_already_are_refused(two, shown):
    for asked, says in (
        ({"drivers": {3: OTHER}}, "shows 2 faces, and face 3"),
        ({"drivers": {1: OTHER}, "face": 1}, "Face 1 has a driver of its own"),
        ({"drivers": {1: OTHER, 2: OTHER}}, "has a driver of its own"),
        ({"drivers": {0: OTHER}}, "counted from the left, 1 or more"),
    ):
        with pytest.raises(motion.InputError, match=says):
            run(two, GROUP, ONE, **asked)
    with pytest.raises(motion.InputError, match="of a clip one"):
        run(two, GROUP.expand(3, -1, -1, -1), ONE, drivers={2: OTHER})
    with pytest.raises(motion.InputError, match="none was found"):
        run(shown([], DRIVER[:4]), GROUP, ONE, drivers={2: OTHER}, subject=(0, 0, 60, 60))


def test_motion_is_measured_from_a_picture_of_the_driver_at_rest(shown):
    source, driving, model = noise(120, 150), noise(80, 100, 4), shown([CENTRE], DRIVER[:4])
    where = {"driving_subject": (20, 10, 80, 70)}
    by_frame, _ = run(model, source, driving, reference=2, **where)
    by_picture, _ = run(model, source, driving, reference_picture=driving[2:3], **where)
    assert_close(by_picture, by_frame, atol=1e-4, rtol=0)
    alone, _ = run(model, source, driving[:1], reference_picture=driving[2:3], **where)
    assert_close(alone, by_frame[:1], atol=1e-4, rtol=0)
    model = shown([CENTRE], DRIVER[:1] * 4)  # found in the same place in clip and picture
    found, _ = run(model, source, driving, reference_picture=driving[2:3])
    assert_close(found, run(model, source, driving, reference=2)[0], atol=1e-4, rtol=0)
    with pytest.raises(motion.InputError, match="reference_picture"):
        run(model, source, driving, reference_picture=driving[:2])
    with pytest.raises(motion.InputError, match="No face was found in the reference picture"):
        run(shown([CENTRE], [None] * 4), source, noise(90, 90, 4), reference_picture=noise(80, 100))


def test_faces_are_shown_with_their_numbers_where_there_are_several(two, shown):
    asked = {face: motion.Options(face=face) for face in (0, 1, 2, -1)}
    drawn = {face: numbered_faces(two, GROUP, options) for face, options in asked.items()}
    assert drawn[0].shape == GROUP.shape and not torch.equal(drawn[0], GROUP)
    assert torch.equal(drawn[0], drawn[2])  # the larger moves
    assert not torch.equal(drawn[1], drawn[2])
    by_two = motion.Options(drivers={1: OTHER})
    assert torch.equal(numbered_faces(two, GROUP, by_two), drawn[-1])
    assert numbered_faces(shown([LEFT], DRIVER), GROUP, asked[0]) is None
    in_box = motion.Options(subject=(0, 0, 120, 120))
    assert numbered_faces(two, GROUP, in_box) is None


def test_a_live_session_finds_head_and_driver_and_goes_on_without_a_face(shown):
    source, driving = noise(120, 150), noise(80, 100, 3)
    session = motion.live(shown([CENTRE], DRIVER[:1]), source)
    frames = torch.cat([session(frame) for frame in driving.split(1)])
    assert frames.shape == (3, 3, 120, 150)
    assert (frames[:1] - source).abs().max() < STEP < (frames[2:] - source).abs().max()
    lost = motion.live(shown([CENTRE], [None]), source)
    assert (lost(driving[:1]) - source).abs().max() < STEP and lost.lost
