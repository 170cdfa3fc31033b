"""Boxes anywhere, of any size, in pictures of any size: cut, put back, framed, or refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.testing import assert_close

from comfyui_motion import InputError, Keypoints, MotionField, crop_subject, paste_back
from comfyui_motion.field import identity_grid
from comfyui_motion.framing.canvas import MODES, Fit, check_box, in_grid
from comfyui_motion.framing.crop import Place, square_box
from comfyui_motion.framing.turned import cut_turned, paste_turned, window

pytestmark = pytest.mark.many

SIDES = st.integers(1, 40)
EDGES = st.floats(-60, 100)
STRANGE = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e18])


@st.composite
def boxes(draw, edges=EDGES) -> tuple[float, float, float, float]:
    """At least a pixel wide and high, wherever it lies."""
    left, top = draw(edges), draw(edges)
    return left, top, left + draw(st.floats(1, 80)), top + draw(st.floats(1, 80))


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@given(boxes(), st.floats(-0.4, 10))
def test_the_square_round_a_box_is_one_on_whole_pixels_about_its_middle(box, margin):
    left, top, right, bottom = square = square_box(box, margin)
    assert all(isinstance(side, int) for side in square)
    assert right - left == bottom - top >= 1
    assert abs((left + right) - (box[0] + box[2])) <= 1.01
    assert abs((top + bottom) - (box[1] + box[3])) <= 1.01
    if margin >= 0:
        assert right - left >= max(box[2] - box[0], box[3] - box[1]) - 0.51


@given(boxes(), SIDES, SIDES, st.floats(-0.4, 2), st.floats(0, 20))
def test_what_is_cut_and_put_back_untouched_is_the_picture(box, height, width, margin, feather):
    whole, square = picture(height, width), square_box(box, margin)
    crop = crop_subject(whole, box, margin=margin)
    assert crop.shape[-2:] == (square[3] - square[1], square[2] - square[0])
    left, top, right, bottom = square
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        try:
            paste_back(whole, crop, square, feather)
        except InputError as error:
            assert "lies outside the picture" in str(error)
            return
        raise AssertionError("a box outside the picture was pasted")
    assert_close(paste_back(whole, crop, square, feather), whole, atol=1e-6, rtol=0)


@given(boxes(), SIDES, SIDES, st.integers(1, 64))
def test_a_crop_has_the_size_asked_for_and_the_picture_s_own_range(box, height, width, size):
    crop = crop_subject(picture(height, width), box, size=size)
    assert crop.shape == (1, 3, size, size)
    assert crop.min() >= 0 and crop.max() <= 1


@given(boxes(), SIDES, SIDES, st.floats(-7, 7), st.integers(1, 48))
def test_a_turned_square_that_was_not_changed_changes_nothing(box, height, width, angle, size):
    whole = picture(height, width)
    place = Place(square_box(box), height, width, angle)
    crop = cut_turned(whole, place, size)
    assert crop.shape == (1, 3, size, size) and crop.isfinite().all()
    if window(place, height, width) is not None:
        assert torch.equal(paste_turned(whole, crop, place), whole)


@given(boxes(), st.integers(0, 3), STRANGE, SIDES, SIDES)
def test_a_box_of_no_numbers_is_refused_in_a_sentence(box, side, strange, height, width):
    odd = tuple(strange if i == side else value for i, value in enumerate(box))
    for use in (
        lambda: crop_subject(picture(height, width), odd),
        lambda: square_box(odd),
        lambda: paste_back(picture(height, width), picture(4, 4), odd),
        lambda: check_box(odd, height, width),
        lambda: Fit.plan(height, width, 32, "letterbox", odd),
    ):
        try:
            use()
        except InputError as error:
            assert "left, top, right, bottom" in str(error) and str(error).count("\n") == 0


@given(boxes(), SIDES, SIDES, st.sampled_from(MODES), st.booleans())
def test_no_motion_on_a_canvas_is_none_in_the_picture(box, height, width, mode, whole):
    height, width = height + 1, width + 1
    try:
        fit = Fit.plan(height, width, 32, mode, None if whole else box)
    except InputError as error:
        assert "holds nothing of a picture" in str(error)
        return
    still = fit.field(MotionField.identity(1, 16, 16)).grid[0]
    assert_close(still, identity_grid(height, width), atol=1e-6, rtol=0)
    canvas = fit.to_canvas(picture(height, width))
    assert canvas.shape == (1, 3, 32, 32) and canvas.isfinite().all()
    ends = Keypoints(torch.tensor([[[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]]))
    middle = fit.points(ends).position[0, 2]
    about = torch.tensor([fit.left + fit.box_width / 2, fit.top + fit.box_height / 2]) - 0.5
    pixels = (middle + 1) / 2 * (torch.tensor([width, height]) - 1)
    assert_close(pixels, about, atol=1e-3, rtol=0)


@given(boxes(), SIDES, SIDES)
def test_a_box_cut_to_a_picture_lies_in_it(box, height, width):
    try:
        left, top, right, bottom = check_box(box, height, width)
    except InputError:
        overlap = [
            min(box[2], width) - max(box[0], 0),
            min(box[3], height) - max(box[1], 0),
        ]
        assert min(overlap) < 1
        return
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assume(min(height, width) > 1)
    inside = in_grid(box, height, width)
    assert inside[0] < inside[2] and inside[1] < inside[3]
