"""A face that turns shows its side without drawing it out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.networks.face.pose import angles, fit_head, turned
from comfyui_motion.networks.face.relief import further, nearer, rows, shifts
from comfyui_motion.networks.face.topology import CONTOURS, SURFACE, TRIANGLES


@pytest.fixture(scope="module")
def points(portrait):
    return motion.load("face", device="cpu").faces(portrait)[0].points


def wider(points, yaw, flat):
    """How many times as wide each triangle of the rim becomes in a head so turned, on the left."""
    turn = turned(*(torch.tensor([float(v)]) for v in (yaw, 0, 0)))
    posed = points[None] @ turn.transpose(1, 2)
    if flat:
        away = points[:, :2] - points[:SURFACE, :2].mean(0)
        posed[..., :2] += shifts(fit_head(points[None], posed), nearer(points), away)
    corners = torch.tensor(TRIANGLES)
    left = (rows()[corners] <= 2).all(1) & (points[corners, 0].mean(1) < points[1, 0])
    spans = [p[corners[left], 0] for p in (points, posed[0])]
    then, now = (span.amax(1) - span.amin(1) for span in spans)
    return now / then.clamp(min=1)


def test_the_side_that_comes_into_sight_is_not_drawn_out(points):
    assert wider(points, 35, flat=False).quantile(0.95) > 4
    assert wider(points, 35, flat=True).quantile(0.95) < 2.5


def test_the_side_that_turns_away_hides_as_it_does(points):
    apart = wider(points, -35, flat=True) - wider(points, -35, flat=False)
    assert apart.abs().max() < 1e-4


def test_a_face_that_looks_as_it_did_is_as_it_was(points):
    away = points[:, :2] - points[:SURFACE, :2].mean(0)
    still = shifts(fit_head(points[None], points[None]), nearer(points), away)
    assert still.abs().max() < 1e-3


def test_only_the_rim_is_flatter(points):
    change = nearer(points)
    assert (change <= 0).all()
    assert (change[:SURFACE][rows() == rows().max()] == 0).all()
    assert change[list(CONTOURS["face"])].min() < -0.05 * (points[33] - points[263]).norm()


def head_at(yaw, pitch, roll):
    return turned(*(torch.tensor([float(v)]) for v in (yaw, pitch, roll)))


def test_a_head_that_does_not_turn_is_drawn_as_it_is(points):
    rolled = points[None] @ head_at(0, 0, 40).transpose(1, 2)
    drawn, head = further(rolled, fit_head(points[None], rolled))
    assert (drawn - rolled).abs().max() < 1e-3 * (points[33] - points[263]).norm()
    assert angles(head.rotation)[0].tolist() == pytest.approx([0, 0, 40], abs=0.05)


def test_a_face_that_lies_on_its_side_is_drawn_turned_as_an_upright_one(points):
    lying = head_at(0, 0, 90).transpose(1, 2)
    posed = points[None] @ head_at(20, -6, 0).transpose(1, 2)
    upright, _ = further(posed, fit_head(points[None], posed))
    side, _ = further(posed @ lying, fit_head(points[None] @ lying, posed @ lying))
    off = (upright @ lying - side).norm(dim=-1).max()
    assert off < 0.01 * (points[33] - points[263]).norm()


def test_points_and_head_are_turned_alike(points):
    posed = points[None] @ head_at(15, 8, -5).transpose(1, 2) + 30
    drawn, head = further(posed, fit_head(points[None], posed))
    assert (head.apply(points[None]) - drawn).abs().max() < 0.05
    assert angles(head.rotation)[0, 0] > 17


def test_a_head_looks_turned_nearly_as_far_as_it_is_asked_to(model, portrait):
    picture = F.interpolate(portrait, size=480, mode="area")
    encoded, rest = model.encode(picture), model.detect(picture).space()
    seen = []
    for which, dial in enumerate(("yaw", "pitch")):
        for asked in (-12.0, 12.0):
            field = model.motion(encoded, motion.pose(encoded, **{dial: asked}))
            now = model.detect(model.generate(encoded, field)).space()
            seen.append(float(angles(fit_head(rest, now).rotation)[0, which]) / asked)
    assert 0.7 < sum(seen) / len(seen) < 1.1
