"""What comes to light in the driver, and no motion can explain, shows in the source; nothing else
of the driver's looks does.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks.flow.light import FlowField, FlowKeypoints


def texture(seed: int, side: int = 128) -> torch.Tensor:
    """Mid-gray with detail. 1 3 side side"""
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(
        0.35 + 0.3 * torch.rand(1, 3, side // 6, side // 6, generator=generator),
        size=(side, side),
        mode="bicubic",
    ).clamp(0, 1)


@pytest.fixture(scope="module")
def flow():
    return motion.load("flow")


@pytest.fixture
def opening():
    """A driver at rest, then with a dark mouth where there was none."""
    rest = texture(1)
    opened = rest.clone()
    opened[..., 70:86, 50:78] = 0.05
    return torch.cat([rest, opened])


def animated(flow, source, driving, **options) -> torch.Tensor:
    return torch.cat(list(motion.animate(flow, source, driving, size="source", **options)))


def test_a_mouth_that_opens_in_the_driver_opens_in_the_source(flow, opening):
    source = texture(2)
    frames = animated(flow, source, opening)
    assert_close(frames[:1], source, atol=1e-5, rtol=0)
    assert frames[1, :, 75:81, 56:72].mean() < 0.4 * source[0, :, 75:81, 56:72].mean()
    assert (frames[1, :, :50] - source[0, :, :50]).abs().mean() < 0.01


def test_it_opens_where_the_subject_is(flow, opening):
    source = torch.full((1, 3, 256, 256), 0.5)
    source[..., :128, 128:] = texture(2)
    frames = animated(flow, source, opening, subject=(128, 0, 256, 128))
    assert frames[1, :, 75:81, 184:200].mean() < 0.4 * source[0, :, 75:81, 184:200].mean()
    assert_close(frames[1, :, 160:], source[0, :, 160:], atol=1e-4, rtol=0)


def test_what_came_to_light_counts_as_hidden_in_the_source(flow, opening):
    step = next(iter(motion.perform(flow, texture(2), opening, size="source")))
    assert step.occlusion[1, 0, 78, 64] > 0.9 and step.occlusion[1, 0, 20, 20] < 0.05


def test_a_change_of_exposure_is_none_of_the_source_s(flow, opening):
    source = texture(2)
    frames = animated(flow, source, torch.cat([opening[:1], opening[:1] * 0.7]))
    assert_close(frames[1:], source, atol=0.02, rtol=0)


def test_motion_that_is_explained_brings_no_light(flow):
    wide = texture(1, 160)
    driving = torch.cat([wide[..., 16:144, 16:144], wide[..., 16:144, 13:141]])
    points = flow.detect(driving, driving[:1])
    assert isinstance(points, FlowKeypoints)
    assert points.light[1, :, 16:-16, 16:-16].abs().max() < 0.1


def test_less_strength_shows_less_and_none_nothing(flow, opening):
    source = texture(2)
    dark = [
        animated(flow, source, opening, strength=s)[1, :, 75:81, 56:72].mean()
        for s in (1.0, 0.5, 0.0)
    ]
    assert dark[0] < dark[1] - 0.05 < dark[2] - 0.1
    assert_close(animated(flow, source, opening, strength=0.0)[1:], source, atol=1e-4, rtol=0)


def test_light_can_be_left_out(opening):
    plain = motion.load("flow", light=0.0)
    points = plain.detect(opening, opening[:1])
    field = plain.motion(plain.encode(texture(2)), points)
    assert points.light is None and not isinstance(field, FlowField)


def test_points_that_were_written_down_move_without_light(flow, opening):
    points = flow.detect(opening, opening[:1])
    again = motion.Keypoints.from_json(points.to_json())
    portrait = flow.encode(texture(2))
    assert_close(
        flow.motion(portrait, again).grid, flow.motion(portrait, points).grid, atol=1e-5, rtol=0
    )


def test_light_travels_with_slices_and_joins(flow, opening):
    points = flow.detect(opening, opening[:1])
    again = motion.Keypoints.join([points[:1], points[1:]])
    assert torch.equal(again.light, points.light)
    portrait = flow.encode(texture(2))
    field = flow.motion(portrait, points)
    assert_close(
        flow.generate(portrait, field)[1:], flow.generate(portrait, field[1:]), atol=1e-6, rtol=0
    )
