"""Some rows at a time is the same as all at once, and never holds more than a strip."""

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import MotionField, field
from comfyui_motion.geometry import rows as by_rows
from comfyui_motion.geometry.pixels import identity_grid
from comfyui_motion.networks.flow import model as flow


@pytest.mark.parametrize(
    ("size", "wanted"), [((7, 5), (53, 31)), ((1, 4), (20, 9)), ((9, 9), (9, 9))]
)
def test_rows_of_a_resized_map_are_those_of_the_whole(size, wanted):
    maps = torch.rand(2, 3, *size)
    parts = by_rows.strips(*wanted, pixels=4 * wanted[1])
    made = torch.cat([by_rows.resized_rows(maps, part, *wanted) for part in parts], dim=2)
    assert_close(made, field.resize(maps, *wanted, align_corners=True), atol=1e-5, rtol=0)


def test_rows_of_the_still_grid_are_those_of_the_whole():
    made = [
        by_rows.identity_rows(part, 30, 20, torch.zeros(1)) for part in (slice(7), slice(7, 30))
    ]
    assert torch.equal(torch.cat(made), identity_grid(30, 20))


@pytest.fixture
def moved():
    torch.manual_seed(0)
    still = MotionField.identity(2, 12, 16)
    shift = 0.2 * torch.rand(2, 12, 16, 2)
    shift[:, :4] = 0
    return MotionField(still.grid + shift), torch.rand(1, 3, 90, 130)


def test_a_large_picture_is_warped_some_rows_at_a_time_to_the_same_picture(moved, monkeypatch):
    motion_field, picture = moved
    whole = motion_field.warp(picture, padding="border")
    monkeypatch.setattr(field, "LARGE", 1000)
    monkeypatch.setattr(by_rows.strips, "__defaults__", (1000,))
    made = motion_field.warp(picture, padding="border")
    assert_close(made, whole, atol=1e-5, rtol=0)
    assert torch.equal(made[..., :20, :], picture.expand(2, -1, -1, -1)[..., :20, :])


def test_what_any_subject_s_frames_are_read_by_does_not_grow_with_the_picture(monkeypatch):
    read = []

    def watched(picture, grid, *rest):
        read.append(grid.shape[1] * grid.shape[2])
        return field.remapped(picture, grid, *rest)

    model, picture = motion.load("flow"), torch.rand(1, 3, 900, 1600)
    monkeypatch.setattr(flow, "remapped", watched)
    portrait = model.encode(picture)
    still = MotionField.identity(3, 180, 320)
    made = model.generate(portrait, MotionField(still.grid + 0.01))
    assert made.shape == (3, 3, 900, 1600)
    assert max(read) <= by_rows.STRIP < 900 * 1600 and sum(read) == 3 * 900 * 1600
