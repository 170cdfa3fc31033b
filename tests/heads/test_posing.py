"""Eyes and lips by the retargeting networks, lips closed first, strengths, stitching of dials."""

import copy

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.drivers import Performance, performed
from comfyui_motion.driving import Batches
from comfyui_motion.framing.head import eye_ratios, lip_ratio
from comfyui_motion.heads import frame_head
from comfyui_motion.posed import EYES, LIPS
from comfyui_motion.posing import posed
from tests.heads.acting import CENTRE, DRIVER, STEP, noise, run, untrained

SOURCE, DRIVING = noise(120, 150), noise(80, 100, 3)
OPEN = [points.clone() for points in DRIVER[:3]]
for number, points in enumerate(OPEN):
    points[[145, 374, 14], 1] += 2 * number  # eyes and mouth open from frame to frame


def poses(model, **options):
    _, steps = run(model, SOURCE, DRIVING, reference=0, batch_size=3, **options)
    return steps[0].pose


def unchanged(pose):
    return pose.but(shift=None)


def test_eyes_and_lips_are_as_far_open_as_the_drivers(shown):
    model = shown([CENTRE], OPEN)
    rest, plain = poses(model, strength=0.0)[:1], poses(model)
    pose = poses(model, retarget_eyes=True, retarget_lips=True)
    for region in (EYES, LIPS):
        assert_close(pose.expression[:, region], rest.expression[:, region].expand(3, -1, -1))
    assert_close(pose.rotation, plain.rotation, atol=1e-4, rtol=0)
    theirs, mine = torch.stack(OPEN), CENTRE[None]
    eyes = torch.cat([eye_ratios(mine).expand(3, -1), eye_ratios(theirs).mean(1, True)], 1)
    lips = torch.cat([lip_ratio(mine).expand(3, -1), lip_ratio(theirs)], 1)
    own = unchanged(rest)
    change = model.eye_change(own, eyes) + model.lip_change(own, lips)
    told = unchanged(pose).shifted(change)
    assert_close(pose.x, model.stitch(own, told).x, atol=1e-5, rtol=0)
    half = poses(model, retarget_eyes=True, retarget_lips=True, eyes=0.5, mouth=0.0)
    told = unchanged(half).shifted(model.eye_change(own, eyes) / 2)
    assert_close(half.x, model.stitch(own, told).x, atol=1e-5, rtol=0)


def test_points_seen_through_the_portrait_are_carried_over_as_a_whole_clip_is(shown):
    """What the steps of a graph give is what `perform` gives."""
    model = shown([CENTRE], OPEN)
    head = frame_head(model, SOURCE, motion.Options(reference=0), Batches(DRIVING, 2))
    told = motion.Keypoints.from_json(performed(head, Batches(DRIVING, 2)).to_json())
    source = motion.Keypoints.from_json(head.portrait.keypoints.to_json())
    for asked in (
        {"retarget_eyes": True, "retarget_lips": True, "eyes": 0.5},
        {"close_lips": True, "neutral_source": True},
        {"published": True, "strength": 0.4, "mode": "absolute"},
    ):
        pose = posed(model, source, Performance.of(told, told[:1]), motion.Options(**asked))
        assert_close(pose.x, poses(model, **asked).x, atol=1e-4, rtol=0)
    model = shown([CENTRE], [OPEN[0], None, OPEN[2]])
    head = frame_head(model, SOURCE, motion.Options(reference=0), Batches(DRIVING, 2))
    lost = performed(head, Batches(DRIVING, 2))
    assert_close(lost.x, told.x[[0, 0, 2]], atol=1e-4, rtol=0)


def test_as_published_retargeting_leaves_nothing_else_of_the_driver(shown):
    model = shown([CENTRE], OPEN)
    own = unchanged(poses(model, strength=0.0)[:1])
    pose = poses(model, published=True, retarget_lips=True)
    lips = lip_ratio(torch.stack([CENTRE, *OPEN]))
    change = model.lip_change(own, torch.cat([lips[:1].expand(3, -1), lips[1:]], 1))
    told = model.stitch(own, own.expanded(3).shifted(change), "published")
    assert_close(pose.x, told.x, atol=1e-5, rtol=0)


def test_as_published_the_strength_of_all_comes_last(shown):
    model = shown([CENTRE], OPEN)
    own = unchanged(poses(model, strength=0.0)[:1]).x
    whole, third = (poses(model, published=True, strength=a).x for a in (1.0, 0.3))
    assert_close(third, own + 0.3 * (whole - own), atol=1e-5, rtol=0)


def test_lips_that_are_apart_are_closed_first(shown):
    open_mouth = CENTRE.clone()
    open_mouth[14] += 8
    pose = poses(shown([open_mouth], OPEN), close_lips=True)
    model = shown([open_mouth], OPEN)
    plain = poses(model)
    own = unchanged(poses(model, strength=0.0)[:1])
    ratio = lip_ratio(open_mouth[None])
    change = model.lip_change(own, torch.cat([ratio, torch.zeros_like(ratio)], 1))
    assert_close(pose.x - plain.x, change.expand(3, -1, -1), atol=1e-5, rtol=0)
    shut = CENTRE.clone()
    shut[14] = shut[13]
    model = shown([shut], OPEN)
    assert torch.equal(poses(model, close_lips=True).x, poses(model).x)


def test_at_no_strength_retargeted_eyes_rest_too(shown):
    model = shown([CENTRE], OPEN)
    options = {"retarget_eyes": True, "retarget_lips": True, "strength": 0.0}
    frames, _ = run(model, SOURCE, DRIVING, reference=0, **options)
    assert (frames - SOURCE).abs().max() < STEP
    each = torch.zeros(21)
    frames, _ = run(model, SOURCE, DRIVING, reference=0, **{**options, "strength": each})
    assert (frames - SOURCE).abs().max() < STEP


def test_a_source_clip_is_retargeted_frame_by_frame(shown):
    model = shown([CENTRE], OPEN, moving=[CENTRE] * 3)
    clip = noise(120, 150, 3)
    frames, _ = run(model, clip, DRIVING, reference=0, retarget_eyes=True, close_lips=True)
    plain, _ = run(model, clip, DRIVING, reference=0)
    assert frames.shape == clip.shape and (frames - plain).abs().max() > STEP


def test_what_cannot_be_retargeted_is_a_sentence(shown):
    blind = {"subject": (30, 20, 110, 100), "driving_subject": (20, 10, 80, 70)}
    for options, faces, clip, says in (
        ({"retarget_eyes": True, **blind}, [CENTRE], [None] * 3, "found in the driving clip"),
        ({"close_lips": True, **blind}, [], OPEN, "found in the picture"),
        ({"retarget_lips": True, **blind}, [], OPEN, "found in the picture"),
    ):
        with pytest.raises(motion.InputError, match=says):
            run(shown(faces, clip), SOURCE, DRIVING, **options)
    model = copy.deepcopy(untrained())
    own = model.detect(torch.rand(1, 3, 64, 64))
    model.stitching_retargeting_module.retarget_eye = None
    with pytest.raises(motion.InputError, match="put that file beside"):
        model.eye_change(own, torch.rand(1, 3))
    cat = motion.build("liveportrait", **{**vars(model.spec), "animals": True})
    with pytest.raises(motion.InputError, match="of animals"):
        cat.lip_change(own, torch.rand(1, 2))
    moved = own.but(rotation=own.rotation + 5)
    assert cat.stitch(own, moved, "published") is moved


def test_what_dials_change_is_stitched_and_a_face_at_rest_stays(model):
    own = model.detect(noise(64, 64))
    dialled = motion.pose(own, smile=1.0, yaw=10.0)
    stitched = motion.pose(own, model=model, smile=1.0, yaw=10.0)
    assert_close(stitched.x, model.stitch(own, dialled).x)
    assert (stitched.x - dialled.x).abs().max() > 1e-4
    assert torch.equal(motion.pose(own, model=model).x, own.x)
    clip = model.stitch(own, model.detect(noise(64, 64, 3)))
    still = motion.pose(clip, model=model, source=own)
    assert_close(still.x, clip.x, atol=1e-7, rtol=0)
    smiling = motion.pose(clip, model=model, source=own, smile=1.0)
    fresh = unchanged(clip).dialled(motion.Dials(smile=1.0))
    assert (smiling.x - model.stitch(own, fresh).x).abs().max() < 0.1 * (
        smiling.x - clip.x
    ).abs().max()
