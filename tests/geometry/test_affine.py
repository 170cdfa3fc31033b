"""Regions as affine frames:

LAPACK's signs without LAPACK, and maps that do what their numbers say.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.field import identity_grid
from comfyui_motion.geometry import affine


def covariances(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(count, 2, 2, generator=generator) * torch.rand(
        count, 1, 1, generator=generator
    )
    return factors @ factors.mT


def test_principal_axes_are_those_of_lapack():
    matrices = covariances(20_000)
    matrices = matrices[matrices[:, 0, 1].abs() > 1e-6]  # nearer to zero its signs are arbitrary
    axes, values = affine.principal_axes(matrices)
    expected, singular, _ = torch.linalg.svd(matrices)
    assert_close(axes, expected, atol=1e-4, rtol=0)
    assert_close(values, singular, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("diagonal", [(2.0, 1.0), (1.0, 2.0), (1.0, 1.0)])
def test_upright_regions_have_the_axes_of_lapack(diagonal):
    matrix = torch.diag(torch.tensor(diagonal))
    assert_close(affine.principal_axes(matrix)[0], torch.linalg.svd(matrix)[0])


def test_a_frame_times_itself_transposed_is_the_covariance():
    matrices = covariances(1000)
    frames = affine.principal_frame(matrices)
    assert_close(frames @ frames.mT, matrices, atol=1e-5, rtol=1e-4)


def test_gradients_are_finite_even_where_a_region_is_a_point_or_round():
    matrices = torch.stack(
        [torch.zeros(2, 2), torch.eye(2), torch.diag(torch.tensor([1.0, 0.0])), torch.ones(2, 2)]
    ).requires_grad_()
    affine.principal_frame(matrices).sum().backward()
    assert matrices.grad is not None and matrices.grad.isfinite().all()


def test_moments_of_a_gaussian_are_its_own():
    mean, covariance = torch.tensor([[[0.1, -0.2]]]), torch.tensor([[[[0.02, 0.01], [0.01, 0.03]]]])
    heat = affine.region_heatmap(mean, covariance, 97, 81)
    found = affine.moments(heat / heat.sum((2, 3), keepdim=True))
    assert_close(found[0], mean, atol=1e-4, rtol=0)
    assert_close(found[1], covariance, atol=1e-4, rtol=0)


def test_a_region_of_one_pixel_gives_finite_numbers():
    heat = torch.zeros(1, 1, 16, 16)
    heat[..., 3, 5] = 1
    mean, covariance = affine.moments(heat)
    frame = affine.principal_frame(covariance)
    assert affine.region_heatmap(mean, covariance, 16, 16).isfinite().all()
    assert affine.between(frame, frame, True).isfinite().all()


def test_inverse_is_the_inverse():
    matrices = torch.randn(100, 2, 2, generator=torch.Generator().manual_seed(0))
    assert_close(affine.inverse(matrices), torch.linalg.inv(matrices), atol=1e-3, rtol=1e-4)


def test_between_reverts_half_turns_when_asked():
    source, driving = torch.eye(2)[None, None], -torch.eye(2)[None, None]
    assert_close(affine.between(source, driving, True), source)
    assert_close(affine.between(source, driving, False), -source)


def test_affine_motion_carries_a_driving_centre_to_the_sources():
    source, driving = torch.tensor([[[0.5, 0.0]]]), torch.tensor([[[-1.0, 1.0]]])
    quarter = torch.tensor([[[[0.0, -1.0], [1.0, 0.0]]]])
    motion = affine.affine_motion(quarter, source, driving, 5, 5)[0, 0]
    assert_close(motion[4, 0], source[0, 0])
    # two to the right of it in the driving frame is two below in the source
    assert_close(motion[4, 4], torch.tensor([0.5, 2.0]))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.1, 0.2], [[1, 0, 0.1], [0, 1, 0.2], [0, 0, 1]]),
        ([1.1, 0.2, 0.3, 0.4, 0.9, 0.6], [[1.1, 0.2, 0.3], [0.4, 0.9, 0.6], [0, 0, 1]]),
        (
            [1.1, 0.2, 0.3, 0.4, 0.9, 0.6, 0.1, -0.2],
            [[1.1, 0.2, 0.3], [0.4, 0.9, 0.6], [0.1, -0.2, 1]],
        ),
    ],
    ids=["shift", "affine", "perspective"],
)
def test_homographies_move_the_grid_as_their_matrix_says(numbers, expected):
    matrix = affine.homography(torch.tensor([numbers]))
    assert_close(matrix[0], torch.tensor(expected))
    grid = identity_grid(6, 7)
    x, y, w = (matrix[0] @ torch.stack([grid[2, 4, 0], grid[2, 4, 1], torch.tensor(1.0)])).unbind()
    assert_close(affine.homography_motion(matrix, 6, 7)[0, 2, 4], torch.stack([x / w, y / w]))


def test_the_identity_homography_is_the_identity_grid():
    assert_close(affine.homography_motion(torch.eye(3)[None], 8, 9)[0], identity_grid(8, 9))


def test_a_round_region_is_a_gaussian():
    heat = affine.region_heatmap(torch.zeros(1, 1, 2), 0.01 * torch.eye(2)[None, None], 3, 21)
    assert math.isclose(heat[0, 0, 1, 11].item(), math.exp(-0.5 * 0.1**2 / 0.01), rel_tol=1e-5)
