"""A performance onto other proportions."""

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import (
    InputError,
    Keypoints,
    best_reference,
    retarget,
)
from comfyui_motion.posed import PosedKeypoints
from comfyui_motion.retarget import hull_area, hull_scale


def turned(degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    return torch.stack(
        [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
    )


def some(frames: int = 1, points: int = 6, seed: int = 0, scale: float = 1.0) -> Keypoints:
    generator = torch.Generator().manual_seed(seed)
    position = scale * (torch.rand(frames, points, 2, generator=generator) - 0.5)
    return Keypoints(
        position, torch.randn(frames, points, 2, 2, generator=generator) * 0.2 + torch.eye(2)
    )


def close(found: Keypoints, wanted: Keypoints) -> None:
    assert_close(found.position, wanted.position, atol=1e-5, rtol=0)
    assert found.jacobian is not None and wanted.jacobian is not None
    assert_close(found.jacobian, wanted.jacobian, atol=1e-4, rtol=0)


def test_absolute_motion_is_the_drivers_own():
    driving = some(4, seed=1)
    close(retarget(driving, None, some(), "absolute"), driving)


def test_a_driver_at_rest_leaves_the_source_as_it_is():
    source, rest = some(seed=1), some(seed=2)
    close(retarget(rest, rest, source, "relative"), source)


def test_relative_motion_of_the_source_itself_is_absolute():
    source, driving = some(seed=1), some(5, seed=2)
    close(retarget(driving, source, source, "relative"), driving)


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_no_strength_is_no_motion_and_half_is_half_way(mode):
    source, rest, driving = some(seed=1), some(seed=2), some(3, seed=3)
    close(retarget(driving, rest, source, mode, strength=0.0)[0], source)
    half = retarget(driving, rest, source, mode, strength=0.5, adapt_scale=False)
    whole = retarget(driving, rest, source, mode, strength=1.0, adapt_scale=False)
    assert_close(half.position, (source.position + whole.position) / 2, atol=1e-6, rtol=0)


def test_strength_can_differ_from_point_to_point():
    source, rest, driving = some(seed=1), some(seed=2), some(3, seed=3)
    strength = torch.tensor([0.0, 1, 1, 1, 1, 1])
    mixed, whole = (
        retarget(driving, rest, source, adapt_scale=False, strength=s) for s in (strength, 1.0)
    )
    assert_close(mixed.position[:, 0], source.position[:, 0].expand(3, -1), atol=1e-6, rtol=0)
    assert_close(mixed.position[:, 1:], whole.position[:, 1:], atol=1e-6, rtol=0)
    assert mixed.jacobian is not None and source.jacobian is not None
    assert_close(mixed.jacobian[:, 0], source.jacobian[:, 0].expand(3, -1, -1), atol=1e-5, rtol=0)


def test_a_source_drawn_twice_as_large_moves_twice_as_far():
    rest = some(seed=1)
    source = Keypoints(rest.position * 2, rest.jacobian)
    driving = Keypoints(rest.position + torch.tensor([0.1, 0.0]), rest.jacobian)
    moved = retarget(driving, rest, source)
    assert_close(
        moved.position - source.position,
        torch.tensor([0.2, 0.0]).expand_as(moved.position),
        atol=1e-5,
        rtol=0,
    )
    unscaled = retarget(driving, rest, source, adapt_scale=False)
    assert_close(
        unscaled.position - source.position,
        torch.tensor([0.1, 0.0]).expand_as(moved.position),
        atol=1e-5,
        rtol=0,
    )


def test_the_driver_s_turn_is_added_to_the_source_s_own():
    source, rest = some(seed=1), some(seed=2)
    assert rest.jacobian is not None and source.jacobian is not None
    driving = Keypoints(rest.position, turned(30) @ rest.jacobian)
    close(retarget(driving, rest, source), Keypoints(source.position, turned(30) @ source.jacobian))


def test_covariance_and_confidence_stay_the_driving_frame_s():
    driving = Keypoints(torch.rand(2, 3, 2), None, torch.rand(2, 3, 2, 2), torch.rand(2, 3))
    pose = retarget(driving, driving[:1], Keypoints(torch.rand(1, 3, 2)))
    assert pose.covariance is driving.covariance and pose.confidence is driving.confidence


def test_hull_area_is_the_area_and_not_the_perimeter():
    square = torch.tensor([[0.0, 0], [2, 0], [2, 3], [0, 3], [1, 1]])
    assert hull_area(square) == pytest.approx(6.0)


@pytest.mark.parametrize(
    "flat",
    [[[0.0, 0], [1, 1], [2, 2], [3, 3]], [[0.0, 0], [1, 0]], [[0.5, 0.5]]],
    ids=["a line", "two", "one"],
)
def test_points_without_a_hull_scale_by_one(flat):
    points = Keypoints(torch.tensor([flat]))
    assert hull_scale(points, points) == 1.0


def test_the_best_reference_is_the_frame_in_the_source_s_pose_wherever_it_lies():
    driving = some(9, seed=4)
    source = Keypoints(driving.position[6:7] * 0.4 + torch.tensor([0.3, -0.2]))
    assert best_reference(driving, source) == 6


def test_what_cannot_be_retargeted_is_refused_in_a_sentence():
    points = some()
    with pytest.raises(InputError, match="absolute, relative, avd"):
        retarget(points, points, points, "sideways")
    with pytest.raises(InputError, match="6 points and the source 4"):
        retarget(points, points, some(points=4))
    with pytest.raises(InputError, match="needs a reference"):
        retarget(points, None, points)
    with pytest.raises(InputError, match="connect the model"):
        retarget(points, points, points, "avd")


def test_what_another_model_found_is_refused_wherever_it_comes_in():
    points, others, frames = some(3), some(points=4), object()
    with pytest.raises(InputError, match="6 points and the reference 4"):
        retarget(points, others, points)
    with pytest.raises(InputError, match="6 points and the source 4"):
        best_reference(points, others)
    with pytest.raises(InputError, match="One of driver and reference"):
        retarget(points, frames, points)
    posed = PosedKeypoints.placed(
        canonical=torch.rand(1, 6, 3),
        expression=torch.zeros(1, 6, 3),
        rotation=torch.zeros(1, 3),
        scale=torch.ones(1),
        translation=torch.zeros(1, 3),
    )
    for found in (lambda: best_reference(posed, points), lambda: retarget(posed, posed, points)):
        with pytest.raises(InputError, match="source's are plain positions"):
            found()
