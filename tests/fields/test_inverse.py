"""A field turned round leads back, and says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError, MotionField, compose, invert
from comfyui_motion.field import identity_grid
from comfyui_motion.fields.compose import mask_field, strengthen

GRID = identity_grid(60, 80)
X, Y = GRID.unbind(-1)
TURN = torch.tensor([[0.8, 0.6], [-0.6, 0.8]])
BUMP = torch.exp(-((X - 0.1).square() + (Y + 0.1).square()) / 0.1)[..., None]
LEAP = ((X.abs() < 0.4) & (Y.abs() < 0.4)).float()[..., None] * torch.tensor([0.3, 0.0])
FIELDS = {
    "identity": GRID,
    "shifted": GRID + torch.tensor([0.2, -0.1]),
    "turned": GRID @ TURN,
    "near": GRID / 3,
    "far": GRID * 2.5,
    "bulged": GRID + 0.15 * BUMP,
    "folded": torch.stack([X + 0.4 * (6 * X).sin(), Y + 0.3 * (6 * Y + X).cos()], dim=-1),
    "torn": GRID - LEAP,
    "one spot": torch.full_like(GRID, 0.1),
}
MOSTLY_SEEN = {"identity": 1, "shifted": 0.8, "turned": 0.8, "near": 0.1, "far": 1, "bulged": 0.99}


def apart(field: MotionField) -> torch.Tensor:
    """How far each pixel reads from itself, in pixels. B H W"""
    still = MotionField.identity(1, *field.size)
    return (field.to_pixels(*field.size) - still.to_pixels(*field.size)).norm(dim=-1)


def visible(field: MotionField) -> torch.Tensor:
    return field.occlusion[-1][:, 0] > 0.5


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_then_its_inverse_is_no_motion_where_visible(name):
    field = MotionField(FIELDS[name][None])
    back = compose(field, invert(field))
    assert (apart(back)[visible(back)] < 0.5).all()
    assert visible(back).float().mean() >= MOSTLY_SEEN.get(name, 0) - 0.02


@pytest.mark.parametrize("name", MOSTLY_SEEN)
def test_the_inverse_then_the_field_is_no_motion_where_visible(name):
    field = MotionField(FIELDS[name][None])
    there = compose(invert(field), field)
    assert (apart(there)[visible(there)] < 0.5).all()


def test_a_picture_moved_and_moved_back_is_itself_where_visible():
    picture = (torch.sin(7 * X) * torch.cos(5 * Y))[None, None]
    field = MotionField((GRID + 0.15 * BUMP)[None])
    back = invert(field)
    again = back.warp(field.warp(picture, "border"), "border")
    assert_close(again[0, 0][visible(back)[0]], picture[0, 0][visible(back)[0]], atol=0.02, rtol=0)


def test_what_is_covered_has_no_way_back():
    """A square moves right by 12 pixels: what it covers there the frame does not show."""
    still = MotionField.identity(1, 60, 80).to_pixels(60, 80)
    square = torch.zeros(60, 80, 1)
    square[20:40, 32:52] = 1
    field = MotionField.from_pixels(still - square * torch.tensor([12.0, 0.0]))
    shown = visible(invert(field))[0]
    assert not shown[24:36, 42:50].any()  # behind it now
    assert shown[24:36, 22:38].all()  # the square itself
    assert shown[:18].all() and shown[42:].all()


def test_what_the_field_hides_is_no_answer():
    seen = torch.ones(1, 1, 60, 80)
    seen[..., 40:] = 0
    shown = visible(invert(MotionField(GRID[None], (seen,))))[0]
    assert shown[:, :39].all() and not shown[:, 41:].any()


def test_coordinates_that_are_no_numbers_stay_and_are_hidden():
    grid = GRID.clone()
    grid[10:20, 10:20] = torch.nan
    back = invert(MotionField(grid[None]))
    assert back.grid.isfinite().all() and not visible(back)[0, 12:18, 12:18].any()


def test_what_is_no_field_is_said_to_be_none():
    not_one: Any = GRID[None]
    with pytest.raises(InputError, match="is a Tensor"):
        invert(not_one)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 200)])
def test_fields_of_any_size_turn_round(size):
    back = invert(MotionField.identity(2, *size))
    assert back.size == size and len(back) == 2 and back.grid.isfinite().all()
    assert (apart(back) < 1e-4).all()


def test_fields_compose_in_the_order_they_are_said():
    right = MotionField.from_pixels(
        MotionField.identity(1, 60, 80).to_pixels(60, 80) + torch.tensor([8.0, 0])
    )
    turned = MotionField((GRID @ TURN)[None])
    picture = torch.rand(1, 3, 60, 80)
    picture = torch.nn.functional.avg_pool2d(picture, 9, 1, 4)
    both = compose(right, turned)
    seen = visible(both)[0]
    apart_in = (both.warp(picture) - turned.warp(right.warp(picture)))[0][:, seen].abs()
    assert apart_in.mean() < 2e-3 and apart_in.quantile(0.99) < 0.02


def test_one_frame_composes_with_many_and_other_lengths_do_not():
    one, many = MotionField.identity(1, 5, 6), MotionField.identity(3, 7, 8)
    assert len(compose(one, many)) == 3 and compose(many, one).size == (5, 6)
    with pytest.raises(InputError, match="as many of both"):
        compose(MotionField.identity(2, 5, 6), many)


# masked and weakened


def test_a_mask_on_the_frame_stays_and_one_on_the_source_goes_along():
    still = MotionField.identity(1, 60, 80).to_pixels(60, 80)
    field = MotionField.from_pixels(still - torch.tensor([20.0, 0.0]))
    mask = torch.zeros(1, 1, 60, 80)
    mask[..., 10:30] = 1
    on_frame, on_source = (
        apart(mask_field(field, mask, where))[0, 30] for where in ("frame", "source")
    )
    assert_close(on_frame[10:30], torch.full((20,), 20.0)) and on_frame[31:].max() == 0
    assert_close(on_source[30:50], torch.full((20,), 20.0), atol=1e-3, rtol=0)
    assert on_source[:29].max() < 1e-3 and on_source[51:].max() < 1e-3


def test_what_a_mask_holds_still_is_visible():
    hidden = MotionField(GRID[None] + 0.1, (torch.zeros(1, 1, 60, 80),))
    mask = torch.zeros(1, 1, 60, 80)
    mask[..., :40] = 1
    masked = mask_field(hidden, mask, "frame")
    assert masked.occlusion_mask(60, 80)[..., 40:].max() == 0
    assert masked.occlusion_mask(60, 80)[..., :40].min() == 1
    assert mask_field(hidden, mask, "frame", keep_occlusion=True).occlusion[-1].max() == 0


def test_strength_is_said_once_or_for_each_frame():
    field = MotionField.join([MotionField(GRID[None] + 0.1)] * 3)
    assert_close(strengthen(field, 0.5).grid, GRID + 0.05 + torch.zeros(3, 1, 1, 1))
    each = strengthen(field, [0.0, 1.0, 2.0])
    assert torch.equal(each.grid[0], GRID) and apart(each)[2, 5, 5] > 1.9 * apart(each)[1, 5, 5]


@pytest.mark.parametrize("strength", [[1.0, 2.0], float("nan"), []])
def test_strengths_that_do_not_fit_are_refused(strength):
    with pytest.raises(InputError, match="strength"):
        strengthen(MotionField.identity(3, 4, 4), strength)


@pytest.mark.parametrize(
    ("mask", "drawn_on", "said"),
    [
        (torch.ones(2, 1, 4, 4), "frame", "one mask or 3"),
        (torch.ones(4, 4), "frame", "B 1 H W"),
        (torch.ones(1, 1, 4, 4), "wall", "drawn_on"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, drawn_on, said):
    with pytest.raises(InputError, match=said):
        mask_field(MotionField.identity(3, 4, 4), mask, drawn_on)
