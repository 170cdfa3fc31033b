"""A picture of any size, a network of one: there and back."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from comfyui_motion import InputError, MotionField
from comfyui_motion.field import identity_grid
from comfyui_motion.framing.canvas import (
    MODES,
    Fit,
    box_of,
    enlarged,
)

SIZES = [(96, 64), (64, 96), (65, 37), (32, 32)]


def smooth_picture(height: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return F.interpolate(
        torch.rand(1, 3, 5, 5), size=(height, width), mode="bicubic", align_corners=True
    ).clamp(0, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_no_motion_on_the_canvas_is_no_motion_in_the_picture(mode, size):
    fit = Fit.plan(*size, 32, mode)
    whole = fit.field(MotionField.identity(1, 8, 8))
    assert_close(whole.grid, identity_grid(*size)[None], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_a_shift_of_canvas_pixels_is_the_shift_of_what_they_cover(mode, size):
    fit = Fit.plan(*size, 32, mode)
    still = MotionField.identity(1, 32, 32).to_pixels(32, 32)
    whole = fit.field(MotionField.from_pixels(still + torch.tensor([2.0, -1.0])))
    moved = whole.to_pixels(*size) - MotionField.identity(1, *size).to_pixels(*size)
    wanted = torch.tensor([2.0 * fit.box_width / 32, -1.0 * fit.box_height / 32])
    covered = (fit._grid(moved).abs() <= 1).all(-1)
    assert_close(moved[covered], wanted.expand_as(moved)[covered], atol=1e-3, rtol=0)


def test_motion_stays_with_the_subject_and_fades_beyond_it():
    fit = Fit.plan(100, 100, 32, subject=(20, 20, 60, 60))
    still = MotionField.identity(1, 32, 32).to_pixels(32, 32)
    hidden = (torch.zeros(1, 1, 8, 8),)
    whole = fit.field(MotionField.from_pixels(still + torch.tensor([4.0, 0.0]), hidden))
    moved = (whole.to_pixels(100, 100) - MotionField.identity(1, 100, 100).to_pixels(100, 100))[
        0, 40, :, 0
    ]
    assert_close(moved[21:59], torch.full((38,), 5.0), atol=1e-3, rtol=0)
    assert moved[67:].abs().max() < 1e-3 and moved[:12].abs().max() < 1e-3
    assert (moved[60:67].diff() <= 1e-3).all()
    assert whole.occlusion[0][0, 0, 40, 40] == 0 and whole.occlusion[0][0, 0, 40, 80] == 1


def test_a_box_is_cut_to_the_picture_and_refused_where_nothing_is_left():
    assert Fit.plan(50, 50, 32, subject=(-10, 5, 20, 500)).box_height == 45
    with pytest.raises(InputError, match="holds nothing of a picture of 50x50"):
        Fit.plan(50, 50, 32, subject=(60, 0, 90, 50))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_comes_back_where_the_canvas_covers_it(mode, size):
    fit, picture = Fit.plan(*size, 128, mode), smooth_picture(*size)
    canvas = fit.to_canvas(picture)
    assert canvas.shape[-2:] == (128, 128)
    covered = (fit._grid(picture).abs() <= 0.97).all(-1)[:, None].expand_as(picture)
    assert covered.float().mean() > 0.3
    assert_close(fit.from_canvas(canvas)[covered], picture[covered], atol=0.03, rtol=0)


def test_letterbox_and_crop_keep_the_aspect_and_stretch_the_whole():
    wide = {mode: Fit.plan(50, 100, 32, mode) for mode in MODES}
    assert (wide["stretch"].box_width, wide["stretch"].box_height) == (100, 50)
    assert (wide["letterbox"].box_width, wide["letterbox"].box_height) == (100, 100)
    assert (wide["crop"].box_width, wide["crop"].box_height, wide["crop"].left) == (50, 50, 25)


def test_a_picture_within_a_size_keeps_its_aspect_and_is_never_enlarged():
    assert (Fit.within(1280, 720, 640).rows, Fit.within(1280, 720, 640).columns) == (640, 360)
    assert (Fit.within(30, 20, 640).rows, Fit.within(30, 20, 640).columns) == (30, 20)


def test_an_unknown_way_to_fit_is_refused():
    with pytest.raises(InputError, match="stretch, letterbox, crop, and is 'squeeze'"):
        Fit.plan(10, 10, 32, "squeeze")


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_enlarging_is_bilinear_whoever_does_it(channels):
    maps = torch.rand(2, channels, 24, 17)
    expected = F.interpolate(maps, size=(101, 67), mode="bilinear", align_corners=False)
    assert_close(enlarged(maps, 101, 67), expected, atol=1e-4, rtol=0)


def test_a_mask_of_any_size_gives_the_box_round_what_it_marks():
    mask = torch.zeros(1, 1, 50, 100)
    mask[..., 10:20, 40:70] = 1
    assert box_of(mask, 50, 100) == (40, 10, 70, 20)
    assert box_of(mask, 100, 300) == (120, 20, 210, 40)
    assert box_of(torch.zeros(1, 1, 64, 64), 50, 100) is None
