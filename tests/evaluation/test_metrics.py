"""Metrics: what is identical is perfect, and what was computed by hand comes out."""

import math

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError
from comfyui_motion.evaluation import metrics
from comfyui_motion.evaluation.metrics import Tally

NAN = float("nan")


@pytest.fixture
def frames():
    return torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(0))


def test_what_is_identical_is_perfect(frames):
    points, grid = torch.rand(3, 5, 2) * 20, torch.rand(3, 6, 6, 2)
    some = torch.rand(3, 1, 6, 6)
    assert metrics.l1(frames, frames).value == 0
    assert metrics.squared(frames, frames).value == 0
    assert metrics.decibels(0.0) == pytest.approx(100)
    assert metrics.ssim(frames, frames).value == pytest.approx(1, abs=1e-6)
    assert metrics.akd(points, points).value == 0 and metrics.mkr(points, points).value == 0
    assert metrics.aed(points.flatten(1), points.flatten(1)).value == 0
    assert metrics.flow_error(grid, grid, torch.ones(3, 1, 6, 6)).value == 0
    assert metrics.occlusion_iou(some, some).value == 1
    assert metrics.joint_error(points, points, torch.ones(3, 5, dtype=torch.bool)).value == 0


def test_l1_is_the_mean_over_frames_pixels_and_channels():
    result, truth = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    result[1, 0, 0, 0] = 0.6  # 0.6 / 12 in one of two frames
    assert metrics.l1(result, truth).above.tolist() == pytest.approx([0, 0.05])
    assert metrics.l1(result, truth).value == pytest.approx(0.025)


def test_decibels_are_of_the_error_of_all_frames_together(frames):
    import kornia

    other = (frames + 0.1 * torch.rand_like(frames)).clamp(0, 1)
    assert metrics.decibels(0.01) == pytest.approx(20)
    assert metrics.decibels(metrics.squared(other, frames).value) == pytest.approx(
        float(kornia.metrics.psnr(other, frames, 1.0)), abs=1e-4
    )


def test_ssim_of_two_plain_pictures_is_that_of_their_brightness():
    bright, dark = torch.full((1, 3, 16, 16), 0.8), torch.full((1, 3, 16, 16), 0.4)
    # no contrast: the second factor is 1
    expected = (2 * 0.8 * 0.4 + 0.01**2) / (0.8**2 + 0.4**2 + 0.01**2)
    assert metrics.ssim(bright, dark).value == pytest.approx(expected, abs=1e-4)


def test_ssim_falls_with_noise_and_refuses_pictures_smaller_than_its_window(frames):
    noise = torch.rand_like(frames)
    slight, strong = (metrics.ssim(frames.lerp(noise, share), frames).value for share in (0.1, 0.5))
    assert 1 > slight > strong
    with pytest.raises(InputError, match="window of 11"):
        metrics.ssim(frames[..., :10], frames[..., :10])


def test_akd_is_per_coordinate_over_points_found_in_both():
    truth = torch.tensor([[[10.0, 10.0], [20.0, 20.0], [NAN, NAN]]])
    found = torch.tensor([[[13.0, 6.0], [NAN, NAN], [5.0, 5.0]]])
    assert metrics.akd(found, truth).value == pytest.approx(3.5)  # (3 + 4) / 2, where Euclid has 5


def test_a_frame_with_no_point_found_in_both_weighs_nothing_in_akd():
    truth = torch.tensor([[[10.0, 10.0]], [[10.0, 10.0]], [[NAN, NAN]]])
    found = torch.tensor([[[12.0, 10.0]], [[NAN, NAN]], [[4.0, 4.0]]])
    tally = metrics.akd(found, truth)
    assert tally.below.tolist() == [1, 0, 0] and tally.value == pytest.approx(1.0)


def test_mkr_counts_what_the_truth_has_and_the_result_lacks_frame_by_frame():
    there, nowhere = [1.0, 1.0], [NAN, NAN]
    truth = torch.tensor(
        [[there, there, nowhere, nowhere], [there, there, there, there], [nowhere] * 4]
    )
    found = torch.tensor(
        [[there, nowhere, there, nowhere], [there, there, there, nowhere], [there] * 4]
    )
    tally = metrics.mkr(found, truth)
    assert tally.above.tolist() == [0.5, 0.25, 0] and tally.below.tolist() == [1, 1, 0]
    assert tally.value == pytest.approx(0.375)


def test_aed_sums_squares_over_the_embedding_and_one_truth_serves_all_frames():
    result = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    assert metrics.aed(result, torch.tensor([[0.0, 0.0]])).value == pytest.approx((5 + 1) / 2)


def test_flow_error_is_euclidean_over_what_is_visible():
    truth = torch.zeros(1, 2, 2, 2)
    pixels = truth.clone()
    pixels[0, 0, 0] = torch.tensor([3.0, 4.0])
    pixels[0, 1, 1] = torch.tensor([100.0, 0.0])
    visible = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    assert metrics.flow_error(pixels, truth, visible).value == pytest.approx(5 / 3)
    assert metrics.flow_error(pixels, truth, torch.zeros_like(visible)).value is None


def test_occlusion_iou_sums_over_frames_before_it_divides():
    truth, hidden = torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    truth[0, 0, 0] = 1  # two hidden pixels, one of them found
    hidden[0, 0, 0, 0] = 0.7
    hidden[1, 0, 1, 1] = 0.9  # called hidden where nothing is
    hidden[2] = 0.5  # undecided is not hidden, and nothing is
    tally = metrics.occlusion_iou(hidden, truth)
    assert tally.below.tolist() == [2, 1, 0] and tally.value == pytest.approx(1 / 3)
    assert metrics.occlusion_iou(hidden[2:], truth[2:]).value is None


def test_joint_error_is_a_share_of_the_side_over_known_joints():
    truth = torch.zeros(1, 3, 2)
    position = torch.tensor([[[0.6, 0.8], [0.0, 0.0], [9.0, 9.0]]])
    known = torch.tensor([[True, True, False]])
    # a distance of 1 of 2, and one of 0
    assert metrics.joint_error(position, truth, known).value == pytest.approx(0.25)
    assert metrics.joint_error(position, truth, known & False).value is None


def test_what_is_no_number_stays_in_sight(frames):
    broken = frames.clone()
    broken[1] = NAN
    assert math.isnan(metrics.l1(broken, frames).value)


def test_tallies_join_in_time(frames):
    other = torch.rand_like(frames)
    whole = metrics.l1(other, frames)
    parts = [metrics.l1(a, b) for a, b in zip(other.split(2), frames.split(2), strict=True)]
    assert_close(Tally.join(parts).above, whole.above)
    assert Tally.join(parts).value == pytest.approx(whole.value)
