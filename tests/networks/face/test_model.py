"""A face moves as a driver's does, and nothing else does."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.networks.face.lids import DRAWN, to_draw
from comfyui_motion.networks.face.pose import angles, facing
from comfyui_motion.networks.face.topology import EYES, LIPS
from comfyui_motion.networks.face.transfer import Face, opening
from comfyui_motion.networks.face.watch import watch

DIALS = (
    {},
    {"mouth_open": 0.5, "yaw": 5},
    {"mouth_open": 1.0, "yaw": 12},
    {"blink": 1.0, "yaw": 6},
    {"smile": 1.0},
    {},
)


@pytest.fixture(scope="module")
def source(portrait):
    return F.interpolate(portrait, size=(320, 320), mode="area")


@pytest.fixture(scope="module")
def encoded(model, source):
    return model.encode(source)


@pytest.fixture(scope="module")
def clip(model, encoded):
    """The picture itself, posed: a driver whose motion is known."""
    poses = [motion.pose(encoded, **dials) for dials in DIALS]
    return torch.cat([model.generate(encoded, model.motion(encoded, pose)) for pose in poses])


@pytest.fixture(scope="module")
def steps(model, source, clip):
    return list(motion.perform(model, source, clip, size="source", batch_size=8))


def faces(model, frames):
    return Face.of(model.detect(frames).space())


def mouths(face):
    return opening(face.shape, *zip(*LIPS.pairs, strict=True)).amax(1) / face.eyes_apart


def lids(face):
    return torch.stack(
        [opening(face.shape, eye.upper, eye.lower).mean(1) for eye in EYES.values()], dim=1
    )


def test_dials_at_rest_are_the_source_to_the_bit(clip, source):
    assert torch.equal(clip[:1], source)


def test_a_clip_in_which_nothing_moves_gives_the_source_to_the_bit(model, source, clip):
    still = clip[:1].expand(3, -1, -1, -1)
    for frames in motion.animate(model, source, still, size="source"):
        assert torch.equal(frames, source.expand_as(frames))


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_on_a_still_clip_moves_no_pixel(model, source, clip, seed):
    noise = torch.randn(4, *clip.shape[1:], generator=torch.Generator().manual_seed(seed))
    noisy = (clip[:1] + 0.01 * noise).clamp(0, 1)
    for frames in motion.animate(model, source, noisy, size="source"):
        assert (frames - source).abs().max() < 0.02


def test_lids_are_drawn_as_far_open_as_they_are_seen(encoded):
    seen = encoded.faces[0].seen
    assert seen.shape == (8, 2)
    assert (seen[1:] >= seen[:-1]).all()
    assert (seen[6] == 1).all()
    for meant in (0.0, 1.0):
        assert (to_draw(np.full(2, meant), seen) == meant).all()
    half = to_draw(np.full(2, 0.5), seen)
    assert (half >= 0.25).all()
    assert (half <= 0.625).all()
    blind = np.array([[d**0.3] * 2 for d in DRAWN])  # sees lids more open than they are
    assert (to_draw(np.full(2, 0.9), blind) < 0.9).all()


def test_strength_0_is_the_source(model, source, clip):
    for frames in motion.animate(model, source, clip, size="source", strength=0.0):
        assert torch.equal(frames, source.expand_as(frames))


def test_batches_of_any_size_give_the_same_frames(model, source, clip, steps):
    one = torch.cat(list(motion.animate(model, source, clip, size="source", batch_size=1)))
    assert (one - torch.cat([step.frames for step in steps])).abs().max() < 1e-3


def test_mouth_lids_and_head_do_what_the_drivers_do(model, clip, steps):
    theirs, ours = faces(model, clip), faces(model, torch.cat([step.frames for step in steps]))
    assert torch.corrcoef(torch.stack([mouths(theirs), mouths(ours)]))[0, 1] > 0.97
    assert lids(ours)[3].max() < 0.45 * lids(ours)[0].min()
    turned = angles(ours.head.rotation)[:, 0] - angles(theirs.head.rotation)[:, 0]
    assert (turned - turned[0]).abs().max() < 3


def test_what_is_behind_stays_to_the_bit(source, steps):
    frames = torch.cat([step.frames for step in steps])
    for corner in ((slice(0, 40), slice(0, 40)), (slice(0, 40), slice(-40, None))):
        assert torch.equal(frames[(..., *corner)], source.expand_as(frames)[(..., *corner)])


def test_occlusion_is_whole_regions_at_most_three_besides_the_silhouette(steps, encoded):
    import cv2
    import numpy as np

    person = (encoded.faces[0].layers.person > 0.5).astype("uint8")
    edge = cv2.morphologyEx(person, cv2.MORPH_GRADIENT, np.ones((25, 25), "uint8")) > 0

    hidden = torch.cat([step.occlusion for step in steps])[:, 0]
    assert hidden[0].max() == 0
    assert hidden[2].max() > 0.9  # the inside of the mouth
    for frame in hidden:
        found = (frame > 0.5).numpy().astype("uint8")
        count, label, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
        assert (stats[1:, cv2.CC_STAT_AREA] > 1e-4 * frame.numel()).all()
        assert len(set(range(1, count)) - set(label[edge].tolist())) <= 3


def test_occlusion_covers_the_whole_mouth_and_the_paint_does_too(encoded, model):
    """The made-up teeth begin at the upper lip, and the dark ends at the lower one."""
    field = model.motion(encoded, motion.pose(encoded, mouth_open=1))
    height, width = encoded.picture.shape[-2:]
    lips = (field.lips[0] + 1) / 2 * field.lips.new_tensor([width - 1, height - 1])
    middle, upper, lower = lips[5, 0], lips[5, 1], lips[15, 1]
    column = field.occlusion_mask(height, width)[0, 0, :, round(float(middle))]
    inside = (column > 0.5).nonzero()[:, 0]
    assert abs(float(inside.min() - upper)) < 3 and abs(float(inside.max() - lower)) < 3
    shown, bare = model.generate(encoded, field)[0], replace(field, shown=0 * field.shown)
    painted = (shown - model.generate(encoded, bare)[0]).abs().amax(0) > 0.02
    rows = painted[:, round(float(middle))].nonzero()[:, 0]
    assert abs(float(rows.min() - upper)) < 4 and abs(float(rows.max() - lower)) < 4


def test_frames_that_come_one_by_one_are_read_as_a_clip_is(model, clip):
    track = model.tracker(rate=25.0)
    rest = clip[:1]
    followed = [track(frame, rest).space() for frame in clip.split(1)]
    alone = model.detect(clip, rest).space()
    apart = (alone[:, 33] - alone[:, 263]).norm(dim=-1).mean()
    off = (torch.cat(followed) - alone)[..., :2].norm(dim=-1).mean(1)
    assert off[0] < 0.02 * apart
    assert off.max() < 0.12 * apart  # what jumps from frame to frame is followed within two
    assert not track(torch.zeros_like(rest), rest).found().any()


def test_a_turn_is_as_many_degrees_as_its_dial(model, encoded):
    pose = motion.pose(encoded, yaw=20, pitch=-10)
    there, here = (angles(facing(k.space()).rotation)[0] for k in (pose, encoded.keypoints))
    assert torch.allclose(there[:2] - here[:2], torch.tensor([20.0, -10.0]), atol=1.0)


def test_keypoints_written_down_give_the_same_frames(model, encoded, clip):
    found = model.detect(clip)
    text = found.to_json()
    assert len(text) < 12_000 * len(found)
    again = motion.Keypoints.from_json(text)
    made = [
        model.generate(encoded, model.motion(encoded, motion.retarget(k, k[:1], encoded.keypoints)))
        for k in (found, again)
    ]
    assert (made[0] - made[1]).abs().max() < 1e-3


def test_keypoints_written_for_hands_have_positions_to_edit(encoded):
    points = encoded.keypoints
    document = json.loads(points.to_json(decimals=4))
    assert document["position"][0][7] == [round(x, 4) for x in points.position[0, 7].tolist()]
    document["position"][0][7] = [0.25, -0.5]
    again = motion.Keypoints.from_json(json.dumps(document))
    assert again.position[0, 7].tolist() == [0.25, -0.5]
    assert torch.allclose(again.position[0, 8:], points.position[0, 8:], atol=1e-4)
    document["position"][0].pop()
    with pytest.raises(motion.InputError, match="damaged .*477"):
        motion.Keypoints.from_json(json.dumps(document))


def test_a_reference_frame_beyond_the_clip_is_refused(model, clip):
    with pytest.raises(motion.InputError, match="reference frame 9 lies beyond the end .* has 2;"):
        watch(model, [clip[:2]], 0, 9)


def test_keypoints_written_down_keep_what_is_at_rest_in_each_shot(model, clip):
    found = watch(model, [clip[:3], 0.5 * clip[3:5].flip(-1).roll(40, -2)], 0, -1)
    assert len(found.rest.unique()) == 2
    document = json.loads(found.keypoints.to_json())
    again = motion.Keypoints.from_json(json.dumps(document))
    assert torch.equal(again.rest, found.keypoints.rest)
    document["rest"]["of"][1] = 2
    with pytest.raises(motion.InputError, match="a shot is named that is not there"):
        motion.Keypoints.from_json(json.dumps(document))


def test_frames_without_a_face_hold_the_last_pose_and_are_named(model, source, clip, caplog):
    gone = clip.clone()
    gone[3] = torch.rand(clip.shape[1:], generator=torch.Generator().manual_seed(2))
    with caplog.at_level(logging.WARNING):
        frames = torch.cat(list(motion.animate(model, source, gone, size="source")))
    assert "no face in frame 3 " in caplog.text
    assert (frames[3] - frames[2]).abs().mean() < (frames[0] - frames[2]).abs().mean() / 2
    assert torch.equal(frames[0], source[0])


def test_a_black_frame_is_told_of_once_though_the_clip_is_read_twice(model, source, clip, caplog):
    black = clip[:3].clone()
    black[1] = 0
    with caplog.at_level(logging.WARNING, logger="comfyui_motion"):
        list(motion.perform(model, source, black))
    assert caplog.text.count("Driving frame 1 is of one colour") == 1


def test_a_clip_that_fades_in_is_measured_from_its_most_neutral_frame(model, source, clip, steps):
    faded = torch.cat([0 * clip[:1], 0.02 * clip[:1], clip[1:]])
    frames = torch.cat(list(motion.animate(model, source, faded, size="source")))
    whole = torch.cat([step.frames for step in steps])
    assert (frames[3] - whole[2]).abs().mean() < 0.02


def test_without_a_face_flow_takes_over_and_says_so(model, source, clip, caplog):
    scene = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for picture, driver, told in ((scene, clip[:2], "picture"), (source, scene, "clip")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            step = next(motion.perform(model, picture, driver, size="source"))
        assert f"There is no face in the {told}" in caplog.text
        assert step.frames.shape[-2:] == picture.shape[-2:]
    partner = model.partners[0]
    assert model.rehearse(scene, [clip[:2]], None, None)[0].spec.light == 0  # no mouth to darken
    assert model.rehearse(scene, [scene], None, None)[0] is partner and partner.spec.light == 1


def test_parts_have_strengths_of_their_own(model, source, clip):
    shut = torch.cat(list(motion.animate(model, source, clip, size="source", mouth=0.0)))
    assert mouths(faces(model, shut)).max() < 0.03
    awake = torch.cat(list(motion.animate(model, source, clip[2:5], size="source", eyes=0.0)))
    opened = lids(faces(model, awake))
    assert opened[1].min() > 0.7 * opened[0].max()


def test_a_source_without_a_face_is_refused_in_a_sentence(model):
    with pytest.raises(motion.InputError, match="no face in the source picture"):
        model.encode(torch.zeros(1, 3, 64, 64))
