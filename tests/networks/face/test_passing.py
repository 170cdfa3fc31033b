"""What passes before a driver's mouth: no mouth is read from it, and it is no other shot."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.networks.face.topology import EYES, LIPS
from comfyui_motion.networks.face.transfer import opening
from comfyui_motion.networks.face.watch import watch

SAMPLES = Path(__file__).parents[3] / "samples"
FIRST, LAST = 18, 21  # frames in which something is before the mouth


@pytest.fixture(scope="module")
def clip():
    """A drawn face that talks. 26 3 240 240"""
    frames = motion.read_video(SAMPLES / "driving.mp4", stop=52).frames()[::2]
    return F.interpolate(frames, size=(240, 240), mode="area")


@pytest.fixture(scope="module")
def plain(model, clip):
    return watch(model, [clip], 0, -1)


def palm(frame, points):
    """A hand of the skin's colour over lips and chin, with the folds between its fingers."""
    seen = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
    apart = float(np.hypot(*(points[33] - points[263])))
    x, y = points[50].astype(int)
    skin = seen[y, x].astype(float)
    left, top = points[61] - apart * np.array([0.35, 0.2])
    for i in range(4):
        upper = np.array([left, top + 0.2 * i * apart])
        lower = upper + apart * np.array([1.3, 0.2])
        ends = [tuple(int(16 * v) for v in end) for end in (upper, lower)]
        cv2.rectangle(seen, *ends, tuple(0.55 * skin), -1, cv2.LINE_AA, 4)
        inner = [(ends[0][0], ends[0][1] + 32), (ends[1][0], ends[1][1] - 32)]
        cv2.rectangle(seen, *inner, tuple(skin), -1, cv2.LINE_AA, 4)
    return torch.from_numpy(seen).permute(2, 0, 1)


@pytest.fixture(scope="module")
def handed(clip, plain):
    """The same, and in some frames, all at once, a hand."""
    points = plain.keypoints.space()[..., :2].numpy()
    made = clip.clone()
    for i in range(FIRST, LAST + 1):
        made[i] = palm(clip[i], points[i])
    return made


def gap(keypoints):
    """How far a mouth is open, in eye distances."""
    face = keypoints.face
    return opening(face.shape, *zip(*LIPS.pairs, strict=True)).amax(1) / face.eyes_apart


def lids(keypoints):
    face = keypoints.face
    return opening(face.shape, EYES["left_eye"].upper, EYES["left_eye"].lower).mean(1)


def test_a_mouth_that_is_not_seen_goes_from_what_it_was_to_what_it_is_after(
    model, handed, plain, caplog
):
    with caplog.at_level(logging.WARNING, "comfyui_motion"):
        script = watch(model, [handed], 0, -1)
    said = [row.message for row in caplog.records if "before the driver's mouth" in row.message]
    assert len(said) == 1 and "frames 1" in said[0]
    assert len(script.rest.unique()) == 1  # it is no other shot
    behind = slice(FIRST - 1, LAST + 2)
    ends = gap(plain.keypoints)[[FIRST - 3, LAST + 3]]
    made = gap(script.keypoints)[behind]
    assert made.min() > ends.min() - 0.03 and made.max() < ends.max() + 0.03
    assert script.keypoints.light[FIRST : LAST + 1].abs().max() == 0
    off = lids(script.keypoints)[behind] - lids(plain.keypoints)[behind]
    assert off.abs().median() < 0.1  # centimetres: eyes go on


def test_a_face_that_talks_is_not_covered(model, clip, caplog):
    with caplog.at_level(logging.WARNING, "comfyui_motion"):
        watch(model, [clip.flip(-1)], 0, -1)
    assert "before the driver's mouth" not in caplog.text


def test_another_face_in_the_same_place_is_another_shot(model, portrait, clip, plain):
    there = plain.keypoints.space()[0, :, :2].numpy()
    other = F.interpolate(portrait, size=(480, 480), mode="area")
    here = model.faces(other)[0].points[:, :2].numpy() - 0.5
    ids = [33, 263, 1, 61, 291]
    warp, _ = cv2.estimateAffinePartial2D(here[ids], there[ids])
    picture = other[0].permute(1, 2, 0).numpy()
    moved = cv2.warpAffine(picture, warp, (240, 240), borderMode=cv2.BORDER_REPLICATE)
    shots = torch.cat([clip[:4], torch.from_numpy(moved).permute(2, 0, 1).expand(4, -1, -1, -1)])
    assert len(watch(model, [shots], 0, -1).rest.unique()) == 2


def test_a_camera_sees_no_mouth_in_a_hand(model, handed, plain):
    track, rest = model.tracker(rate=25.0), handed[:1]
    made = [track(frame, rest) for frame in handed.split(1)]
    gaps = torch.cat([gap(one) for one in made])
    before = gap(plain.keypoints)[FIRST - 4 : FIRST]
    held = gaps[FIRST + 3 : LAST + 1]
    assert held.min() > before.min() - 0.03 and held.max() < before.max() + 0.03
    assert made[LAST].light.abs().max() == 0
