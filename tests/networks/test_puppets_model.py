"""The model that we trained and ship."""

from __future__ import annotations

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion import catalogue
from comfyui_motion.data.puppets.clips import JOINTS, UNSEEN, Puppets

PAIRS = 12


@pytest.fixture(scope="module")
def model():
    return motion.load("puppets", device="cpu")


@pytest.fixture(scope="module")
def faces(model):
    """Faces that no training has drawn."""
    return Puppets(model.size, UNSEEN, kinds=("face",)).batch(0, PAIRS)


@pytest.fixture(scope="module")
def fields(model, faces):
    portrait = model.encode(faces.source)
    field = model.motion(portrait, model.detect(faces.driving))
    return field, model.generate(portrait, field)


def test_it_is_small_and_says_what_it_is(model):
    path = catalogue.bundled()["puppets"]
    assert path.stat().st_size < 25e6
    assert path.with_suffix(".md").is_file()
    assert model.spec.regions == len(JOINTS)
    assert set(model.inspection.assumed.values()) == {"written in the file"}


def test_it_finds_the_joints_of_faces_it_never_saw(model, faces):
    found = model.detect(faces.driving)
    error = (found.position - faces.truth.driving.position).norm(dim=-1)[
        faces.truth.known
    ] / 2  # as a share of the picture's side
    assert error.median() < 0.02
    assert error.mean() < 0.03


def test_its_pictures_are_nearer_than_the_source(faces, fields):
    _, made = fields
    assert (made - faces.driving).abs().mean() < 0.7 * (faces.source - faces.driving).abs().mean()


def test_its_field_is_nearer_to_the_truth_than_no_motion(faces, fields):
    field, _ = fields
    grid = field.resize(*faces.truth.grid.shape[1:3]).grid
    seen = faces.truth.visible[:, 0] > 0.5
    still = motion.MotionField.identity(1, *faces.truth.grid.shape[1:3]).grid
    assert (grid - faces.truth.grid).norm(dim=-1)[seen].mean() < 0.6 * (
        still - faces.truth.grid
    ).norm(dim=-1)[seen].mean()


def test_what_it_calls_hidden_is_hidden_more_often_than_elsewhere(faces, fields):
    field, _ = fields
    hidden = field.occlusion_mask(*faces.driving.shape[-2:])
    seen = faces.truth.visible > 0.5
    assert hidden[~seen].mean() > 3 * hidden[seen].mean()


def test_it_stands_still_with_its_source(model, faces):
    portrait = model.encode(faces.source[:1])
    field = model.motion(portrait, portrait.keypoints)
    assert (field.grid - motion.MotionField.identity(1, *field.size).grid).abs().max() < 1e-4


def test_it_runs_narrow_with_the_same_keypoints(faces):
    narrow = motion.load("puppets", device="cpu", speed="bfloat16")
    exact = motion.load("puppets", device="cpu")
    assert torch.allclose(
        narrow.detect(faces.driving[:2]).position,
        exact.detect(faces.driving[:2]).position,
        atol=1e-4,
    )
