"""Thin-plate splines: equal to the textbook's closed form in float64."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.field import identity_grid
from comfyui_motion.geometry import tps


def spline(control, target, grid, ridge):
    bending = tps.radial((grid - control[..., None, None, :]).square().sum(-1))
    return tps.evaluate(tps.fit(control, target, ridge), bending, grid)


def textbook(control, target, points, ridge):
    """Bookstein's system, solved in float64 with numpy. N 2, N 2, M 2 -> M 2"""

    def kernel(a, b):
        squared = ((a[:, None] - b[None]) ** 2).sum(-1)
        return squared * np.log(squared + 1e-9)

    count = len(control)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(control, control)
    system[:count, count:] = system[count:, :count].T
    system[:count, count:] = np.concatenate([control, np.ones((count, 1))], 1)
    system[count:, :count] = system[:count, count:].T
    solution = np.linalg.solve(
        system + ridge * np.eye(count + 3), np.concatenate([target, np.zeros((3, 2))])
    )
    return (
        kernel(points, control) @ solution[:count]
        + np.concatenate([points, np.ones((len(points), 1))], 1) @ solution[count:]
    )


@pytest.fixture
def points():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(2, 3, 5, 2, generator=generator) * 2 - 1,
        torch.rand(2, 3, 5, 2, generator=generator) * 2 - 1,
    )


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_a_spline_is_the_textbooks(points, ridge):
    control, target = points
    grid = identity_grid(9, 7)
    found = spline(control, target, grid, ridge)
    assert found.shape == (2, 3, 9, 7, 2)
    for b in range(2):
        for k in range(3):
            flat = grid.reshape(-1, 2).double().numpy()
            expected = textbook(
                control[b, k].double().numpy(), target[b, k].double().numpy(), flat, ridge
            )
            assert_close(
                found[b, k].reshape(-1, 2), torch.tensor(expected).float(), atol=2e-5, rtol=1e-5
            )


def test_without_a_ridge_it_meets_its_targets(points):
    control, target = points
    bending = tps.radial(tps.squared_distances(control, control))  # ... N N, to every control point
    coefficients = tps.fit(control, target)
    weights, matrix, shift = coefficients.split([5, 2, 1], dim=-2)
    assert_close(bending @ weights + control @ matrix + shift, target, atol=1e-4, rtol=0)


def test_points_that_stay_leave_the_picture_as_it_is(points):
    grid = identity_grid(9, 7)
    assert_close(
        spline(points[0], points[0], grid, 0.0), grid.expand(2, 3, -1, -1, -1), atol=1e-5, rtol=0
    )


def test_with_the_published_ridge_it_comes_near_but_not_to_them(points):
    control = points[0]
    error = (spline(control, control, identity_grid(9, 7), 0.01) - identity_grid(9, 7)).abs().max()
    assert 1e-4 < error < 1


def test_gradients_reach_both_ends_even_where_points_coincide():
    control = torch.zeros(1, 5, 2, requires_grad=True)
    target = torch.rand(1, 5, 2, requires_grad=True)
    spline(control, target, identity_grid(5, 5), 0.01).sum().backward()
    for points in (control, target):
        assert points.grad is not None and points.grad.isfinite().all()
