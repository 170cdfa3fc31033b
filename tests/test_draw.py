"""What is drawn shows what it is of."""

import torch

from comfyui_motion import Keypoints, MotionField
from comfyui_motion.draw import (
    Samples,
    contact_sheet,
    draw_field,
    draw_keypoints,
    draw_parts,
    evenly,
    palette,
)


def test_a_point_is_drawn_where_it_is_and_the_picture_is_left_alone():
    picture = torch.zeros(1, 3, 101, 101)
    drawn = draw_keypoints(picture, Keypoints(torch.tensor([[[0.5, -0.5]]])))
    rows, columns = drawn[0].sum(0).nonzero(as_tuple=True)
    assert abs(float(columns.float().mean()) - 75) < 1 and abs(float(rows.float().mean()) - 25) < 1
    assert picture.sum() == 0


def test_axes_point_along_the_local_frame():
    # its x axis points down, it has no y axis
    points = Keypoints(torch.zeros(1, 1, 2), torch.tensor([[[[0.0, 0.0], [3.0, 0.0]]]]))
    drawn = draw_keypoints(torch.zeros(1, 3, 301, 301), points)[0].sum(0)
    assert drawn[165:].sum() > 0 and drawn[:140].sum() == 0


def test_points_outside_the_picture_or_undefined_do_no_harm():
    points = Keypoints(torch.tensor([[[9.0, 9.0], [float("nan"), 0.0]]]))
    assert draw_keypoints(torch.zeros(1, 3, 32, 32), points).shape == (1, 3, 32, 32)


def test_one_picture_serves_every_frame():
    assert draw_keypoints(torch.zeros(1, 3, 16, 16), Keypoints(torch.zeros(4, 2, 2))).shape == (
        4,
        3,
        16,
        16,
    )


def test_no_motion_is_white_and_hidden_pixels_are_darker():
    assert draw_field(MotionField.identity(1, 8, 8), 8, 8).min() == 1
    half_hidden = MotionField(MotionField.identity(1, 8, 8).grid, (torch.eye(8)[None, None],))
    drawn = draw_field(half_hidden, 8, 8)
    assert drawn[0, 0, 0, 0] > drawn[0, 0, 0, 5]


def test_opposite_motions_have_opposite_colours():
    grid = (
        MotionField.identity(2, 8, 8).grid + torch.tensor([[0.2, 0.0], [-0.2, 0.0]])[:, None, None]
    )
    right, left = draw_field(MotionField(grid), 8, 8)[:, :, 4, 4]
    assert right[0] > 0.9 and right[2] < 0.2 and left[0] < 0.2 and left[2] > 0.9


def test_each_part_has_its_colour_and_the_background_none():
    parts = torch.zeros(1, 3, 4, 4)
    parts[:, 0, :2], parts[:, 2, 2:] = 1, 1
    drawn = draw_parts(parts)
    assert drawn[..., :1, :].sum() == 0
    assert torch.allclose(drawn[0, :, 3, 0], palette(2)[1])


def test_a_sheet_has_a_column_for_each_frame_and_a_line_for_each_row():
    sheet = contact_sheet([torch.rand(4, 3, 20, 20), torch.rand(4, 3, 40, 20)], height=32, gap=2)
    assert sheet.shape == (1, 3, 2 * 34, 4 * 34)


def test_samples_of_a_long_clip_are_few_and_evenly_spaced():
    samples = Samples(wanted=8, height=4)
    for start in range(0, 1000, 10):
        samples.add(torch.full((10, 3, 4, 4), start / 1000))
    numbers = [number for number, _ in samples.kept]
    assert (
        len(numbers) <= 33
        and len({b - a for a, b in zip(numbers, numbers[1:], strict=False)}) == 1
        and numbers[-1] > 900
    )
    assert samples.sheet().shape[-1] == 8 * 8


def test_evenly_takes_first_and_last():
    assert evenly(100, 5) == [0, 25, 50, 74, 99] and evenly(3, 8) == [0, 1, 2]
