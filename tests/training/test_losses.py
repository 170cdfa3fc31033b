"""Losses against numbers worked out by hand, and warps against their own definition."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from comfyui_motion import InputError, Keypoints, MotionField
from comfyui_motion.data.pairs import Truth
from comfyui_motion.training import losses
from comfyui_motion.training.adversary import Discriminator
from comfyui_motion.training.vgg import VGG19, load_vgg, shrunk
from comfyui_motion.training.warps import Transform, Warp, random_transform


def transform(noise: float = 0.1, bend: float = 0.02) -> Transform:
    return random_transform(2, Warp(noise, bend), torch.Generator().manual_seed(1))


def points(*xy: tuple[float, float], jacobian: torch.Tensor | None = None) -> Keypoints:
    return Keypoints(
        torch.tensor(xy)[None], None if jacobian is None else jacobian.expand(1, len(xy), 2, 2)
    )


def truth(shift: float = 0.0, size: int = 8, hidden: int = 0) -> Truth:
    """Everything moved by `shift` to the right, `hidden` columns of it out of sight."""
    visible = torch.ones(1, 1, size, size)
    visible[..., :hidden] = 0
    grid = MotionField.identity(1, size, size).grid - torch.tensor([shift, 0.0])
    frame = torch.eye(2)
    known = torch.tensor([[True, True, False]])
    source, driving = (
        points((0, 0), (0.5, 0), (0, 0), jacobian=frame),
        points((shift, 0), (0.5 + shift, 0), (9, 9), jacobian=frame),
    )
    return Truth(
        grid,
        visible,
        source,
        driving,
        known,
        torch.zeros(1, 2, size, size),
        torch.zeros(1, 1, size, size),
    )


# Reconstruction


def test_a_picture_is_like_itself():
    picture = torch.rand(2, 3, 32, 32)
    assert losses.pyramid_l1(picture, picture) == losses.gradient_l1(picture, picture) == 0


def test_an_even_difference_is_itself_at_every_size_and_has_no_edges():
    picture = torch.rand(1, 3, 32, 32)
    assert losses.pyramid_l1(picture + 0.25, picture) == pytest.approx(0.25, abs=1e-6)
    assert losses.gradient_l1(picture + 0.25, picture) == pytest.approx(0, abs=1e-6)


def test_the_pyramid_ends_where_pictures_do():
    assert [level.shape[-1] for level in losses.pyramid(torch.zeros(1, 1, 64, 64))] == [
        64,
        32,
        16,
        8,
    ]
    assert [level.shape[-1] for level in losses.pyramid(torch.zeros(1, 1, 8, 8))] == [8, 4]


def test_a_ramp_against_nothing_costs_its_slope():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8) * 0.1
    # across, none down; averaged in pairs the steps are twice as high
    full, half = (
        0.1 / 2,
        0.2 / 2,
    )
    assert losses.gradient_l1(ramp, torch.zeros_like(ramp)) == pytest.approx(
        (full + half) / 2, abs=1e-6
    )


# Equivariance


@pytest.mark.parametrize("euclidean", [False, True])
def test_the_jacobian_of_a_warp_is_its_derivative(euclidean):
    warp = random_transform(
        2, Warp(noise=0.1, bend=0.02, euclidean=euclidean), torch.Generator().manual_seed(1)
    )
    # between control points, where the kernel of sums of sides has no kinks
    where = torch.rand(2, 3, 2) * 0.4 + 0.05
    step = 1e-3
    columns = [
        (warp(where + step * axis) - warp(where - step * axis)) / (2 * step)
        for axis in torch.eye(2)
    ]
    assert torch.allclose(warp.jacobian(where), torch.stack(columns, dim=-1), atol=2e-3)


def test_the_kernels_are_the_papers():
    still = torch.eye(2, 3)[None]
    for euclidean, expected in (
        (False, 0.7**2 * math.log(0.7 + 1e-6)),
        (True, 0.25 * math.log(0.25 + 1e-9)),
    ):
        bent = Transform(still, torch.ones(1, 1, 2), torch.zeros(1, 2), euclidean)
        found = bent(torch.tensor([[[0.3, -0.4]]]))[0, 0]
        assert torch.allclose(found, torch.tensor([0.3, -0.4]) + expected, atol=1e-5)


def test_no_warp_changes_nothing():
    none = random_transform(1, Warp(noise=0.0, bend=0.0), torch.Generator())
    picture = torch.rand(1, 3, 20, 30)
    assert torch.allclose(none.warp(picture), picture, atol=1e-5)
    assert torch.allclose(none.jacobian(torch.rand(1, 4, 2)), torch.eye(2))


def test_a_point_of_the_warped_picture_is_where_the_warp_says():
    """A ramp of x and y is read at T(z)."""
    grid = MotionField.identity(2, 40, 40).grid.permute(0, 3, 1, 2)
    warp = transform(noise=0.02, bend=0.005)
    middle = grid[..., 10:30, 10:30].permute(0, 2, 3, 1).reshape(2, -1, 2)
    found = warp.warp(grid)[..., 10:30, 10:30].permute(0, 2, 3, 1).reshape(2, -1, 2)
    assert torch.allclose(found, warp(middle), atol=2e-3)


def test_points_that_follow_the_warp_cost_nothing():
    warp = transform()
    warped = Keypoints(torch.rand(2, 4, 2) - 0.5, torch.eye(2).expand(2, 4, 2, 2) * 0.3)
    true = Keypoints(warp(warped.position), warp.jacobian(warped.position) @ warped.jacobian)
    assert losses.equivariance(true, warped, warp) < 1e-6
    assert losses.equivariance_frames(true, warped, warp) < 1e-5
    turned = Keypoints(true.position + 0.1, -true.jacobian)
    assert losses.equivariance(turned, warped, warp) == pytest.approx(0.1, abs=1e-5)
    # -1 instead of 1 on the diagonal
    assert losses.equivariance_frames(turned, warped, warp) == pytest.approx(1.0, abs=1e-4)
    assert losses.equivariance_frames(turned, warped, warp, half_turns=True) < 1e-5


def test_turns_stretches_and_shifts_are_as_large_as_asked():
    turned = random_transform(
        2000, Warp(noise=0, bend=0, turn=0.25), torch.Generator().manual_seed(0)
    ).affine
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0])
    assert angle.std() == pytest.approx(0.25, rel=0.05) and torch.allclose(
        turned[:, :, 2], torch.zeros(2000, 2)
    )
    moved = random_transform(
        2000, Warp(noise=0, bend=0, shift=0.12, stretch=0.15), torch.Generator().manual_seed(0)
    ).affine
    assert moved[:, :, 2].std() == pytest.approx(0.12, rel=0.05) and moved[
        :, 0, 0
    ].log().std() == pytest.approx(0.15, rel=0.05)


# TPSMM, adversarial


def test_warped_features_that_match_cost_nothing():
    features = [torch.rand(1, 4, 8, 8), torch.rand(1, 6, 4, 4)]
    still = MotionField.identity(1, 8, 8)
    field = MotionField(still.grid, (torch.ones(1, 1, 4, 4), torch.full((1, 1, 8, 8), 0.5)))
    assert losses.warp_loss(features, features, field) < 1e-6
    other = [features[0] + 1, features[1] + 1]
    # 1 where all is shown, a half where half is
    assert losses.warp_loss(features, other, field) == pytest.approx(1.5, abs=1e-5)


def test_there_and_back_is_where_one_was():
    matrix = torch.eye(3)[None] + torch.tensor([[0.1, 0, 0.2], [0, 0, 0], [0, 0, 0]])
    assert losses.background_loss(matrix, torch.linalg.inv(matrix)) < 1e-6
    assert losses.background_loss(matrix, torch.eye(3)[None]) == pytest.approx(0.3 / 9)


def test_the_least_squares_game():
    real, made = [torch.full((1, 1, 2, 2), 0.8)], [torch.full((1, 1, 2, 2), 0.3)]
    assert losses.fooled(made) == pytest.approx(0.49)
    assert losses.told_apart(real, made) == pytest.approx(0.04 + 0.09)
    with torch.no_grad():
        maps, scores = Discriminator(3, 32)(torch.rand(2, 3, 32, 32))
    assert len(scores) == 2 and all(score.shape[:2] == (2, 1) for score in scores)
    assert losses.features_l1(maps, maps) == 0 and losses.features_l1(
        [maps[0] + 2], [maps[0]]
    ) == pytest.approx(2)


# Supervised


def test_the_truth_costs_nothing():
    true = truth(0.25, hidden=2)
    assert losses.joints_l1(true.source, true.source, true.known) == 0
    assert losses.displacement_error(true.source, true.driving, true) == pytest.approx(0, abs=1e-5)
    assert losses.frames_l1(true.source, true.driving, true) < 1e-6
    assert losses.follows_flow(true.source, points((0.25, 0), (0.75, 0), (0.25, 0)), true) < 1e-6
    assert losses.flow_l1(MotionField(true.grid), true) < 1e-6
    assert losses.occlusion_entropy(MotionField(true.grid, (true.visible,)), true.visible) < 1e-3


def test_joints_that_are_not_there_are_free():
    true = truth()
    found = points((0.1, 0), (0.5, 0.3), (5.0, 5.0))
    assert losses.joints_l1(found, true.source, true.known) == pytest.approx((0.1 + 0.3) / 2 / 2)
    assert losses.joints_l1(found, true.source, torch.zeros(1, 3, dtype=torch.bool)) == 0


def test_standing_still_costs_about_the_whole_motion():
    true = truth(0.5)
    assert losses.displacement_error(true.source, true.source, true, floor=0.0) == pytest.approx(
        1.0
    )


def test_a_picture_is_asked_to_be_right_where_joints_are():
    true = truth()  # joints at (0, 0) and (0.5, 0)
    driving, near, far = (torch.zeros(1, 3, 8, 8) for _ in range(3))
    near[..., 3:5, 3:7], far[..., 0, :] = 1, 1
    assert losses.near_joints_l1(driving, driving, true) == 0
    assert (
        losses.near_joints_l1(near, driving, true) > 0.8
        and losses.near_joints_l1(far, driving, true) < 1e-6
    )
    absent = replace(true, known=torch.zeros(1, 3, dtype=torch.bool))
    assert losses.near_joints_l1(near, driving, absent) == 0


def test_what_is_hidden_counts_near_joints():
    true = truth(size=32)  # joints at (0, 0) and (0.5, 0)
    # round the first, and far from both
    true.visible[..., 14:18, 14:18] = true.visible[..., 0, :] = 0
    said = [true.visible.clone() for _ in range(3)]
    said[1][..., 0, :], said[2][..., 14:18, 14:18] = 1, 1
    costs = [losses.near_hidden(MotionField(true.grid, (each,)), true).item() for each in said]
    assert costs[0] < 1e-3 and costs[1] < 0.01 and costs[2] > 1


def test_a_field_that_does_not_move_is_off_by_the_motion_where_it_can_be_seen():
    true = truth(-0.5, hidden=4)  # the hidden columns come from within the source
    # 0.5 in x, 0 in y
    assert losses.flow_l1(MotionField.identity(1, 4, 4), true) == pytest.approx(0.25, abs=1e-6)
    wrong = torch.where(true.visible.permute(0, 2, 3, 1) > 0, true.grid, true.grid + 3)
    assert losses.flow_l1(MotionField(wrong), true) < 1e-6


def test_what_comes_from_beyond_the_edges_is_to_be_known_to():
    true = truth(0.5, hidden=2)  # as it moved, two columns came into view
    assert (true.grid[..., 0] < -1).sum() == 2 * 8
    wrong = torch.where(true.visible.permute(0, 2, 3, 1) > 0, true.grid, true.grid + 0.4)
    assert losses.flow_l1(MotionField(wrong), true) == pytest.approx(0.4 * 2 / 8, rel=1e-4)


def test_few_hidden_pixels_count_as_much_as_many_visible_ones():
    visible = torch.ones(1, 1, 8, 8)
    visible[..., 0, 0] = 0
    shown = MotionField(MotionField.identity(1, 8, 8).grid, (torch.full((1, 1, 8, 8), 0.9),))
    expected = (-math.log(0.9) - math.log(0.1)) / 2
    assert losses.occlusion_entropy(shown, visible) == pytest.approx(expected, rel=1e-4)


def test_heatmaps_are_drawn_to_their_joints():
    true = points((0.0, 0.0), (0.5, 0.5))
    known = torch.tensor([[True, False]])
    offset = MotionField.identity(1, 17, 17).grid[:, None] - true.position[:, :, None, None]
    right = -0.5 * offset.square().sum(-1) / 0.06**2
    entropy = losses.heatmap_cross_entropy(right, true, known)
    assert (
        entropy
        < losses.heatmap_cross_entropy(right.roll(2, -1), true, known)
        < losses.heatmap_cross_entropy(right.roll(4, -1), true, known)
    )
    assert losses.heatmap_cross_entropy(torch.zeros_like(right), true, known) == pytest.approx(
        math.log(17 * 17), rel=1e-4
    )


# VGG


def test_vgg_is_read_from_torchvisions_names(tmp_path):
    torch.manual_seed(0)
    network = VGG19()
    torch.save(
        {**network.state_dict(), "classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg19.pth"
    )
    loaded = load_vgg(tmp_path / "vgg19.pth")
    pictures = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        maps, expected = loaded(pictures), network(pictures)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True)) and not any(
        p.requires_grad for p in loaded.parameters()
    )
    assert [(m.shape[1], m.shape[-1]) for m in maps[:5]] == [
        (64, 32),
        (128, 16),
        (256, 8),
        (512, 4),
        (512, 2),
    ]
    assert len(maps) == 10  # at 32 and 16 pixels; 8 do not survive four halvings
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(InputError, match="not VGG-19 as torchvision names it: features.0.bias"):
        load_vgg(tmp_path / "part.pth")


def test_pictures_shrink_as_the_networks_shrink_theirs():
    from comfyui_motion.networks.layers.blocks import Antialias

    picture = torch.rand(2, 3, 32, 32)
    for step in (2, 4):
        assert torch.allclose(shrunk(picture, step), Antialias(3, 1 / step)(picture), atol=1e-6)


def test_where_the_source_hides_all_differences_count_elsewhere_none():
    wanted, picture = truth(hidden=2), torch.rand(1, 3, 8, 8)
    made = picture.clone()
    made[..., 2:] += 1
    assert losses.hidden_l1(made, picture, wanted) == 0
    made[..., :4, 0] += 0.5  # of 16 hidden pixels four
    assert losses.hidden_l1(made, picture, wanted) == pytest.approx(0.125, abs=1e-6)


def test_the_subject_is_what_points_claim_hidden_or_not():
    wanted = truth(size=16, hidden=8)
    wanted.subject[..., :4, :4] = 1
    scenery = 1 - wanted.subject
    claims = torch.cat([scenery, wanted.subject / 2, wanted.subject / 2], dim=1)
    field = replace(MotionField.identity(1, 16, 16), contributions=claims)
    assert losses.subject_told(field, wanted) < 0.01
    claims = claims.roll(2, dims=3)  # 8 of 24 pixels overlap, 16 are wrong
    field = replace(field, contributions=claims)
    assert losses.subject_told(field, wanted) == pytest.approx(
        1 - 9 / 25 + 16 / 256 * -math.log(1e-5), rel=1e-3
    )
    small = replace(
        MotionField.identity(1, 8, 8),
        contributions=torch.cat([scenery, wanted.subject], dim=1)[..., ::2, ::2],
    )
    assert losses.subject_told(small, wanted) < 0.01, "compared at its own size"


def test_of_a_fine_field_some_pixels_tell_enough_who_moves_them():
    """The likelihood of twice as fine a field is that of the field."""
    values = []
    for size in (64, 128):
        wanted = truth(shift=0.1, size=size)
        masks = torch.full((1, 4, size, size), 0.25)
        values.append(
            losses.motions_likelihood(
                MotionField(wanted.grid, contributions=masks), wanted.source, wanted.driving, wanted
            )
        )
    assert values[0] == pytest.approx(float(values[1]), rel=0.02)
