"""Frames as they come: the same pictures as a clip gives, one at a time."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import InputError, NoSubject
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape


@pytest.fixture
def clip():
    """A texture that slides. 5 3 48 64"""
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 12), (48, 80), mode="bicubic")
    return torch.cat([texture[..., 8 - i : 72 - i].clamp(0, 1) for i in range(5)])


def small():
    shape, body = HourglassShape(8, 32, 2), BodyShape(8, 32, 2, 1)
    values = {"keypoints": 4, "jacobians": 4, "detector": shape, "dense": shape, "body": body}
    return motion.build("fomm", **values, size=64).eval()


def flow():
    return motion.build("flow", detail=96, lattice=24, size=128)


@pytest.mark.parametrize("make", [flow, small])
def test_a_session_gives_what_animate_gives(clip, make):
    model, picture = make(), clip[2:3]
    session = motion.live(model, picture)
    single = torch.cat([session(frame) for frame in clip])
    together = torch.cat(list(motion.animate(model, picture, clip, size="source", batch_size=1)))
    assert_close(single, together, atol=1e-5, rtol=0)


def test_a_portrait_that_the_model_encoded_is_moved_by_its_verbs(clip):
    model = small()
    portrait = model.encode(torch.nn.functional.interpolate(clip[:1], (64, 64)))
    session = motion.live(model, portrait)
    frames = [session(frame[None]) for frame in clip]
    assert frames[0].shape == (1, 3, 64, 64)
    points = model.detect(torch.nn.functional.interpolate(clip, (64, 64)))
    pose = motion.retarget(points, points[:1], portrait.keypoints)
    wanted = model.generate(portrait, model.motion(portrait, pose))
    assert_close(torch.cat(frames), wanted, atol=0.05, rtol=0)  # resized by another filter


def test_after_a_reset_the_next_frame_is_at_rest(clip):
    model, picture = motion.load("flow", device="cpu"), clip[:1]
    session = motion.live(model, picture)
    still = session(clip[0])
    moved = session(clip[4])
    session.reset()
    assert_close(session(clip[4]), still, atol=1e-3, rtol=0)
    assert (moved - still).abs().max() > 0.05


def test_a_frame_without_the_subject_holds_the_picture(clip, monkeypatch):
    model, picture = motion.load("flow", device="cpu"), clip[:1]
    seen = model.detect

    def detect(frames, reference=None):
        if frames.max() == 0:
            raise NoSubject("Nobody is there.")
        return seen(frames, reference=reference)

    monkeypatch.setattr(model, "detect", detect)
    session = motion.live(model, picture)
    before = session(torch.zeros_like(clip[0]))
    assert session.lost
    assert_close(before, picture, atol=1e-3, rtol=0)
    session(clip[0])
    moved = session(clip[4])
    assert not session.lost
    assert torch.equal(session(torch.zeros_like(clip[0])), moved) and session.lost


def test_more_than_one_frame_is_refused(clip):
    session = motion.live(motion.load("flow", device="cpu"), clip[:1])
    with pytest.raises(InputError, match="takes one frame"):
        session(clip)
