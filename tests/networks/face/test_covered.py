"""What is held before a mouth goes with the head, and no lips open in it."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion

LOUD = {"mouth_open": 1.0, "smile": 0.5}


@pytest.fixture(scope="module")
def plain(portrait):
    return F.interpolate(portrait, size=(480, 480), mode="area")


@pytest.fixture(scope="module")
def points(model, plain):
    return model.faces(plain)[0].points[:, :2].numpy() - 0.5


def painted(plain, *shapes):
    """Polygons, each with its colour in 0..1, over the picture."""
    seen = np.ascontiguousarray(plain[0].permute(1, 2, 0).numpy())
    for outline, colour in shapes:
        corners = np.round(np.asarray(outline) * 16).astype(np.int32)
        cv2.fillPoly(seen, [corners], colour, cv2.LINE_AA, 4)
    grain = 0.01 * np.random.default_rng(0).standard_normal(seen.shape[:2])[..., None]
    return torch.from_numpy(seen + grain).float().clamp(0, 1).permute(2, 0, 1)[None]


def board(points, left, top, right, bottom):
    """A box, in eye distances from the mouth's middle."""
    apart = np.hypot(*(points[33] - points[263]))
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return points[[61, 291]].mean(0) + apart * corners


def cheek(plain, points, light):
    x, y = points[50].astype(int)
    return tuple(light * plain[0, :, y, x].numpy().astype(float))


def cup(plain, points):
    return painted(plain, (board(points, -0.36, -0.14, 0.36, 0.6), (0.6, 0.72, 0.8)))


def palm(plain, points):
    """Two fingers and the fold between them, of the skin's own colour."""
    skin, fold = cheek(plain, points, 0.98), cheek(plain, points, 0.75)
    whole, line = (-0.5, -0.2, 0.45, 0.5), (-0.5, 0.26, 0.45, 0.28)
    return painted(plain, (board(points, *whole), skin), (board(points, *line), fold))


def finger(plain, points):
    return painted(plain, (board(points, -0.09, -0.25, 0.09, 0.9), cheek(plain, points, 1.0)))


@pytest.mark.parametrize("held", [cup, palm, finger])
def test_no_mouth_opens_in_what_is_held_before_it(model, plain, points, held, caplog):
    picture = held(plain, points)
    with caplog.at_level(logging.WARNING, "comfyui_motion"):
        portrait = model.encode(picture)
    assert "held before the mouth" in caplog.text
    field = model.motion(portrait, motion.pose(portrait, **LOUD))
    assert torch.equal(field.shown, torch.zeros(1))
    box = (
        slice(int(points[2, 1]), int(points[152, 1]) - 4),
        slice(int(points[61, 0]), int(points[291, 0])),
    )
    moved = model.generate(portrait, field)
    assert (moved - picture)[0, :, box[0], box[1]].abs().mean() < 0.01


def test_what_covers_a_mouth_turns_with_the_head_and_eyes_blink_above_it(model, plain, points):
    picture = cup(plain, points)
    portrait = model.encode(picture)
    pose = motion.pose(portrait, blink=1.0, yaw=10)
    changed = (model.generate(portrait, model.motion(portrait, pose)) - picture)[0].abs()
    assert changed[:, int(points[14, 1])].mean() > 0.01
    x, y = points[[159, 145]].mean(0).astype(int)
    assert changed[:, y, x].mean() > 0.05


@pytest.mark.parametrize("change", [lambda p: p, lambda p: 0.3 * p, lambda p: 0.35 + 0.3 * p])
def test_lips_that_are_seen_are_free(model, plain, change):
    assert not model.encode(change(plain)).faces[0].covered


def test_whoever_loads_it_can_say_that_nothing_is_held(plain, points):
    free = motion.load("face", device="cpu", heeds_hands=False)
    assert not free.encode(cup(plain, points)).faces[0].covered


def test_an_open_mouth_is_not_covered(model, plain):
    portrait = model.encode(plain)
    talks = model.generate(portrait, model.motion(portrait, motion.pose(portrait, mouth_open=1)))
    assert not model.encode(talks).faces[0].covered
