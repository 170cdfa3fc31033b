"""Smoothing takes the trembling, not the motion, and stops at a cut."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError, MotionField
from comfyui_motion.field import identity_grid
from comfyui_motion.fields.smooth import find_cuts, smooth_field

GRID = identity_grid(6, 8)


def moving(offsets: torch.Tensor, occlusion: tuple[torch.Tensor, ...] = ()) -> MotionField:
    """Frame i reads offsets[i] further right."""
    shift = torch.stack([offsets, torch.zeros_like(offsets)], dim=-1)[:, None, None]
    return MotionField(GRID + shift, occlusion)


def shift_of(field: MotionField) -> torch.Tensor:
    return (field.grid - GRID)[:, 3, 4, 0]


@pytest.mark.parametrize("method", ["gaussian", "one-euro"])
def test_trembling_goes_and_slow_motion_stays(method):
    torch.manual_seed(0)
    slow = 0.02 * torch.arange(30.0)
    trembling = moving(slow + 0.004 * torch.randn(30))
    smooth = shift_of(smooth_field(trembling, method, sigma=2.0, min_cutoff=0.5, beta=0.05))
    before, after = (values.diff().diff().abs().mean() for values in (shift_of(trembling), smooth))
    assert after < 0.5 * before
    assert (smooth - slow)[4:-4].abs().max() < 0.02


@pytest.mark.parametrize("method", ["gaussian", "one-euro"])
def test_nothing_is_mixed_across_a_cut(method):
    field = moving(torch.cat([torch.zeros(8), torch.full((8,), 0.5)]))
    assert find_cuts(field) == [8]
    assert_close(smooth_field(field, method, sigma=3.0).grid, field.grid, atol=1e-6, rtol=0)
    mixed = smooth_field(field, method, sigma=3.0, cuts=[])
    assert 0.002 < shift_of(mixed)[8] < 0.498


def test_steady_motion_is_no_cut_however_fast():
    assert find_cuts(moving(0.3 * torch.arange(10.0))) == []


def test_occlusion_is_smoothed_too_and_what_was_given_stays():
    seen = torch.ones(5, 1, 6, 8)
    seen[2] = 0
    given = moving(torch.zeros(5), (seen.clone(),))
    smooth = smooth_field(given, sigma=1.0)
    assert 0 < smooth.occlusion[-1][2].min() < 1 and smooth.occlusion[-1][1].max() < 1
    assert torch.equal(given.occlusion[-1], seen)


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips_will_do(frames):
    assert len(smooth_field(moving(torch.zeros(frames)), "one-euro")) == frames


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "median"}, "method"),
        ({"sigma": -1.0}, "sigma"),
        ({"method": "one-euro", "min_cutoff": 0.0}, "min_cutoff"),
        ({"cuts": [9]}, "from 1 to 3"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        smooth_field(moving(torch.zeros(4)), **options)
