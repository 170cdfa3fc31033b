"""A face that turns shows its side without drawing it out."""

from __future__ import annotations

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.networks.face.pose import fit_head, turned
from comfyui_motion.networks.face.relief import nearer, rows, shifts
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
