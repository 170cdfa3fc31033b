"""Fields: identity returns the source, known motions land where they should, units convert and
return.
"""

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError, MotionField
from comfyui_motion.field import identity_grid, sample


@pytest.fixture
def picture() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 3, 48, 64)


def shifted(height: int, width: int, x: float, y: float) -> MotionField:
    """Every pixel reads x to the right and y below itself, in pixels."""
    still = MotionField.identity(1, height, width).to_pixels(height, width)
    return MotionField.from_pixels(still + torch.tensor([x, y]))


def test_identity_motion_returns_the_source(picture):
    assert_close(MotionField.identity(1, 48, 64).warp(picture), picture, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (97, 31)])
@pytest.mark.parametrize(
    "shape", [(1, 3, 48, 64), (1, 16, 33, 70), (1, 1, 1, 1), (1, 3, 700, 2100)]
)
def test_identity_returns_pictures_of_every_size_to_the_bit(shape, size):
    picture = torch.rand(shape)
    assert torch.equal(MotionField.identity(1, *size).warp(picture), picture)


def test_what_moves_too_little_to_tell_stays_and_all_else_moves(picture):
    field = shifted(48, 64, 0.5, 0)
    still = torch.cat([MotionField.identity(1, 48, 64).grid[:, :24], field.grid[:, 24:]], dim=1)
    moved = MotionField(still).warp(picture)
    assert torch.equal(moved[..., :24, :], picture[..., :24, :])
    assert_close(moved[..., 24:, :], field.warp(picture)[..., 24:, :])


def test_a_shift_by_whole_pixels_reads_the_neighbours(picture):
    moved = shifted(48, 64, 3, -2).warp(picture)
    assert_close(moved[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-4, rtol=0)


def test_outside_the_picture_is_black_or_its_edge(picture):
    field = shifted(48, 64, 200, 0)
    assert field.warp(picture).abs().max() == 0
    assert_close(
        field.warp(picture, padding="border"),
        picture[..., -1:].expand_as(picture),
        atol=1e-5,
        rtol=0,
    )


def test_pixels_and_back():
    field = shifted(20, 30, 1.5, -0.25)
    assert_close(
        MotionField.from_pixels(field.to_pixels(20, 30)).grid, field.grid, atol=1e-6, rtol=0
    )


def test_pixels_do_not_depend_on_how_the_grid_is_read():
    """A half-pixel grid that reads every pixel from where it is has the same positions in pixels as
    a corner-aligned one.
    """
    half_pixel = MotionField(identity_grid(20, 30, align_corners=False)[None], align_corners=False)
    assert_close(
        half_pixel.to_pixels(20, 30),
        MotionField.identity(1, 20, 30).to_pixels(20, 30),
        atol=1e-4,
        rtol=0,
    )


def test_an_stmap_of_no_motion_is_the_ramp_compositors_expect():
    ramp = MotionField.identity(1, 4, 8).to_stmap(4, 8)
    assert_close(ramp[0, 0, 0], (torch.arange(8) + 0.5) / 8, atol=1e-6, rtol=0)
    assert_close(ramp[0, 1, :, 0], 1 - (torch.arange(4) + 0.5) / 4, atol=1e-6, rtol=0)


def test_resizing_a_smooth_motion_keeps_it_in_pictures_not_pixels():
    half = MotionField(identity_grid(16, 16)[None] * 0.5)
    assert_close(half.resize(61, 33).grid, identity_grid(61, 33)[None] * 0.5, atol=1e-6, rtol=0)


def test_composing_two_shifts_adds_them(picture):
    both = shifted(48, 64, 2, 0).compose(shifted(48, 64, 3, 1))
    inside = both.to_pixels(48, 64)[:, 5:-5, 5:-8]
    assert_close(inside, shifted(48, 64, 5, 1).to_pixels(48, 64)[:, 5:-5, 5:-8], atol=1e-3, rtol=0)


def test_composing_with_identity_changes_nothing():
    field = shifted(20, 30, 4, -3)
    assert_close(field.compose(MotionField.identity(1, 20, 30)).grid, field.grid, atol=1e-5, rtol=0)
    assert_close(MotionField.identity(1, 20, 30).compose(field).grid, field.grid, atol=1e-5, rtol=0)


def test_what_either_field_hides_stays_hidden_when_composed():
    left, top = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    left[..., :4] = 0
    top[..., :4, :] = 0
    grid = MotionField.identity(1, 8, 8).grid
    visible = MotionField(grid, (left,)).compose(MotionField(grid, (top,))).occlusion[0]
    assert_close(visible, left * top, atol=1e-5, rtol=0)


def test_the_mask_is_one_where_the_source_shows_nothing():
    visible = torch.ones(1, 1, 8, 8)
    visible[..., 4:] = 0
    field = MotionField(MotionField.identity(1, 8, 8).grid, (torch.zeros(1, 1, 4, 4), visible))
    assert torch.equal(field.occlusion_mask(8, 8), 1 - visible)
    assert MotionField.identity(2, 8, 8).occlusion_mask(5, 7).shape == (2, 1, 5, 7)


def test_one_picture_serves_many_frames_without_copies(picture):
    grids = MotionField.identity(4, 48, 64).grid
    assert sample(picture, grids, True).shape == (4, 3, 48, 64)


def test_frames_are_sliced_and_joined():
    field = MotionField(torch.rand(5, 4, 4, 2), (torch.rand(5, 1, 4, 4),), torch.rand(5, 3, 4, 4))
    again = MotionField.join([field[:2], field[2], field[3:]])
    assert torch.equal(again.grid, field.grid) and torch.equal(
        again.occlusion[0], field.occlusion[0]
    )


def test_a_wrong_batch_or_shape_is_refused_in_a_sentence(picture):
    with pytest.raises(InputError, match="grid must have the shape B H W 2"):
        MotionField(torch.zeros(1, 2, 4, 4))
    with pytest.raises(InputError, match="not 2"):
        MotionField.identity(3, 4, 4).warp(picture.expand(2, -1, -1, -1))


def test_a_network_that_reads_half_pixels_is_straightened_for_any_picture(picture):
    """Its grid was built corner-aligned, so identity stays identity only when it is read so."""
    field = MotionField(identity_grid(12, 16)[None], align_corners=False)
    assert (field.warp(picture) - picture).abs().max() > 0.05
    assert_close(field.straightened().warp(picture), picture, atol=1e-4, rtol=0)
