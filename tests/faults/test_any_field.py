"""Fields of any size, motion and contents: what is true of one is true of all."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

import comfyui_motion as motion
from comfyui_motion import MotionField
from comfyui_motion.field import identity_grid
from comfyui_motion.fields.compose import compose, mask_field, strengthen
from comfyui_motion.fields.inverse import ASTRAY, cell, invert
from comfyui_motion.fields.stmap import from_stmap
from comfyui_motion.geometry.vectors import length

pytestmark = pytest.mark.many

SEEDS = st.integers(0, 2**31)
SIDES = st.integers(1, 48)


def made(seed: int, height: int, width: int, pixels: float, rough: int = 4) -> MotionField:
    """Two frames of smooth motion of at most so many pixels, half of them with something hidden."""
    generator = torch.Generator().manual_seed(seed)
    waves = 2 * torch.rand(2, 2, rough, rough, generator=generator) - 1
    shift = torch.nn.functional.interpolate(
        waves, size=(height, width), mode="bilinear", align_corners=True
    )
    still = MotionField.identity(2, height, width)
    grid = still.grid + pixels * shift.permute(0, 2, 3, 1) * cell(still)
    level = torch.rand(2, 1, max(height // 2, 1), max(width // 2, 1), generator=generator)
    return MotionField(grid, (level,) if seed % 2 else ())


@st.composite
def fields(draw, pixels: float = 30.0) -> MotionField:
    return made(draw(SEEDS), draw(SIDES), draw(SIDES), draw(st.floats(0, pixels)))


@st.composite
def wild_fields(draw) -> MotionField:
    """With numbers that are none, or are far off."""
    field = made(draw(SEEDS), draw(st.integers(1, 24)), draw(st.integers(1, 24)), 60, 8)
    grid = field.grid.clone()
    strange = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30, -1e9, 5.0])
    for value in draw(st.lists(strange, max_size=4)):
        place = [draw(st.integers(0, side - 1)) for side in grid.shape]
        grid[tuple(place)] = value
    return MotionField(grid, field.occlusion)


def apart(one: MotionField, other: MotionField) -> torch.Tensor:
    """Pixels between where two fields read. B H W"""
    return length((one.grid - other.grid) / cell(one))


@given(fields())
def test_no_motion_before_or_after_changes_no_motion(field):
    still = MotionField.identity(1, *field.size)
    assert apart(compose(still, field), field).max() < 1e-3
    assert apart(compose(field, still), field).max() < 1e-3


@given(fields(), st.floats(-3, 3), st.floats(-3, 3))
def test_strength_after_strength_is_their_product(field, one, other):
    twice = strengthen(strengthen(field, one), other)
    assert apart(twice, strengthen(field, one * other)).max() < 1e-2
    assert apart(strengthen(field, 1), field).max() < 1e-3
    assert torch.equal(strengthen(field, 0).grid, identity_grid(*field.size).expand_as(field.grid))


@given(SEEDS, st.integers(8, 48), st.integers(8, 48), st.floats(0, 1))
def test_there_and_back_is_no_motion_where_both_are_seen(seed, height, width, gentle):
    field = made(seed, height, width, gentle * min(height, width) / 16)
    for way in (compose(field, invert(field)), compose(invert(field), field)):
        far = apart(way, MotionField.identity(2, height, width))
        seen = way.occlusion[-1][:, 0] > 0.5
        assert not seen.any() or far[seen].max() <= 2 * ASTRAY
        inside = seen[:, 3:-3, 3:-3]
        assert not inside.any() or far[:, 3:-3, 3:-3][inside].max() <= ASTRAY


@given(fields(), SIDES, SIDES)
def test_at_another_size_motion_is_no_larger_and_none_stays_none(field, height, width):
    resized = field.resize(height, width)
    moved = (field.grid - identity_grid(*field.size)).abs().amax((1, 2))
    assert ((resized.grid - identity_grid(height, width)).abs().amax((1, 2)) <= moved + 1e-5).all()
    still = MotionField.identity(1, *field.size).resize(height, width)
    assert torch.equal(still.grid[0], identity_grid(height, width))


@given(field=fields())
def test_pixels_maps_and_files_give_back_the_field(tmp_path_factory, field):
    pixels = MotionField.from_pixels(field.to_pixels(*field.size))
    assert apart(pixels, field).max() < 1e-3
    maps = from_stmap(field.to_stmap(*field.size))
    assert apart(maps, field).max() < 1e-2
    path = tmp_path_factory.mktemp("field") / "f.safetensors"
    motion.save_field(path, field)
    back = motion.load_field(path)
    assert torch.equal(back.grid, field.grid) and len(back.occlusion) == len(field.occlusion)


@given(fields(), SEEDS)
def test_a_picture_that_is_warped_stays_within_its_own_range(field, seed):
    picture = torch.rand(1, 3, *field.size, generator=torch.Generator().manual_seed(seed))
    moved = field.warp(picture, padding="border")
    assert moved.min() >= picture.min() - 1e-5 and moved.max() <= picture.max() + 1e-5


@given(fields(), st.floats(0, 1))
def test_a_mask_lets_through_as_much_motion_as_it_says(field, share):
    mask = torch.full((1, 1, 5, 7), share)
    for drawn_on in ("source", "frame"):
        masked = mask_field(field, mask, drawn_on)
        assert apart(masked, strengthen(field, share)).max() < 1e-2


@example(MotionField(torch.tensor([[[[1e30, 65.0], [96.0, -45.0]]]])), made(1, 2, 2, 5.0))
@given(wild_fields(), wild_fields())
def test_whatever_a_field_holds_what_is_made_of_it_are_numbers(field, other):
    picture = torch.rand(1, 3, *field.size)
    for result in (invert(field), strengthen(field, -2), compose(field, other[:1])):
        assert result.grid.isfinite().all()
        assert result.warp(picture, padding="border").isfinite().all() or result is not field
        for level in result.occlusion:
            assert ((level >= 0) & (level <= 1)).all()
    assume(field.grid.isfinite().all())
    assert field.occlusion_mask(9, 11).isfinite().all()
