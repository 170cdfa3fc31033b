"""Who else claims a pixel's place: counted, whatever the magnification."""

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.field import identity_grid
from comfyui_motion.networks.crowding import (
    Crowding,
    claimed,
    read,
    splat,
)

SIZE = 24
PIXEL = 2 / (SIZE - 1)
NOTHING = torch.zeros(1, 1, SIZE, SIZE)


def still():
    return identity_grid(SIZE, SIZE)[None].clone()


@pytest.fixture
def pushed():
    """A square at rows and columns 12-17 that came from 6 columns to the left, over ground that
    stays.
    """
    grid, moving = still(), NOTHING.clone()
    moving[:, :, 12:18, 12:18] = 1
    grid[:, 12:18, 12:18, 0] -= 6 * PIXEL
    return claimed(grid, moving)[0], moving[0, 0] > 0


def test_where_nothing_moves_every_place_is_claimed_once():
    claims = claimed(still(), NOTHING)[0]
    assert_close(claims[0], torch.ones(SIZE, SIZE))
    assert_close(claims[1], torch.zeros(SIZE, SIZE))
    assert_close(claims[2], torch.ones(SIZE, SIZE))


@pytest.mark.parametrize("zoom", [0.6, 0.8, 1.0])
def test_magnification_is_no_crowd(zoom):
    claims = claimed(zoom * still(), NOTHING)[0]
    assert_close(claims[2], torch.full((SIZE, SIZE), zoom**2), atol=1e-4, rtol=0)
    inside = claims[0, 3:-3, 3:-3]
    assert (
        inside.mean() == pytest.approx(1, abs=0.05) and inside.min() > 0.75 and inside.max() < 1.25
    )


def test_ground_behind_what_moved_shares_its_place_with_it(pushed):
    claims, moving = pushed
    uncovered = claims[:, 12:18, 6:11]
    assert_close(uncovered[0], torch.full((6, 5), 2.0), atol=1e-3, rtol=0)
    assert_close(uncovered[1], torch.ones(6, 5), atol=1e-3, rtol=0)
    aside = claims[:, :10, :]
    assert_close(aside[0], torch.ones(10, SIZE), atol=1e-3, rtol=0)
    assert not moving[12:18, 6:11].any()


def test_what_moved_knows_that_one_of_its_claimants_moves(pushed):
    claims, _ = pushed
    core = claims[:, 13:17, 14:16]
    assert_close(core[0], torch.full((4, 2), 2.0), atol=1e-3, rtol=0)
    assert_close(core[1], torch.ones(4, 2), atol=1e-3, rtol=0)


def test_what_comes_from_outside_is_told_by_how_far():
    grid = still()
    grid[..., 0] += 3 * PIXEL
    outside = claimed(grid, NOTHING)[0, 3]
    assert_close(
        outside[:, -4:], torch.tensor([0.0, 1.0, 2.0, 3.0]).expand(SIZE, 4), atol=1e-3, rtol=0
    )
    assert not outside[:, :-4].any()


def test_what_comes_from_far_outside_or_nowhere_breaks_nothing():
    grid = still()
    grid[:, :4], grid[:, 4:8], grid[:, 8:10] = 50.0, -1e9, float("nan")
    claims = claimed(grid, NOTHING)
    assert claims.isfinite().all() and claims.min() >= 0 and claims.max() <= 4


def test_laying_down_loses_nothing_and_reading_is_its_transpose():
    random = torch.Generator().manual_seed(1)
    grid = torch.rand(2, 7, 9, 2, generator=random) * 2 - 1
    ours, theirs = (
        torch.rand(2, 3, 7, 9, generator=random),
        torch.rand(2, 3, 9, 11, generator=random),
    )
    assert_close(splat(ours, grid).sum((2, 3)), ours.sum((2, 3)))
    assert_close((splat(ours, grid) * theirs).sum(), (ours * read(theirs, grid)).sum())


def test_untrained_it_adds_nothing_and_trained_it_sees_all_it_is_given():
    crowding = Crowding(features=5, motions=3, channels=3, width=4)
    masks = torch.rand(2, 3, SIZE, SIZE).softmax(1)
    given = (
        torch.rand(2, 5, SIZE, SIZE),
        masks,
        0.9 * still().repeat(2, 1, 1, 1),
        torch.rand(1, 3, SIZE, SIZE),
    )
    assert not crowding(*given, True).any()
    torch.nn.init.normal_(crowding.judge.weight)
    first = crowding(*given, True)
    assert first.shape == (2, 1, SIZE, SIZE)
    for i, other in enumerate((given[0] + 1, given[1].flip(1), 0.5 * given[2], 1 - given[3])):
        assert not torch.allclose(crowding(*given[:i], other, *given[i + 1 :], True), first)
