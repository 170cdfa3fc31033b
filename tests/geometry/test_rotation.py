"""Turns in space: matrices to degrees and back, parts of a turn, means of turns."""

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.geometry.rotation import degrees, matrix, nearest_rotation, power


def random_angles(count=2000, yaw=90):
    generator = torch.Generator().manual_seed(0)
    reach = torch.tensor([180.0, yaw, 180.0])
    return (2 * torch.rand(count, 3, generator=generator) - 1) * reach


def test_degrees_to_a_matrix_and_back_are_the_same_degrees():
    angles = random_angles(yaw=89.9)
    assert_close(degrees(matrix(angles)), angles, atol=1e-3, rtol=0)


def test_a_matrix_to_degrees_and_back_is_the_same_turn_even_straight_to_the_side():
    aside = torch.tensor([[30.0, 90.0, 20.0], [-70.0, -90.0, 5.0], [0.0, 0.0, 180.0], [0, 179, 0]])
    for angles in (random_angles(yaw=180), aside):
        turn = matrix(angles)
        assert_close(matrix(degrees(turn)), turn, atol=1e-6, rtol=0)


def test_rows_are_turned_by_roll_in_the_picture_and_yaw_out_of_it():
    right = torch.tensor([[1.0, 0.0, 0.0]])
    roll, yaw = matrix(torch.tensor([[0.0, 0, 90], [0, 90, 0]]))
    assert_close(right @ roll, torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-6, rtol=0)
    assert_close(right @ yaw, torch.tensor([[0.0, 0.0, -1.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0, -1.0, 2.0])
def test_parts_of_a_turn_are_about_its_axis(share):
    for angle in (1e-4, 10.0, 80.0):
        whole = matrix(torch.tensor([[0.0, 0.0, angle], [angle, 0.0, 0.0]]))
        part = matrix(torch.tensor([[0.0, 0.0, angle * share], [angle * share, 0.0, 0.0]]))
        assert_close(power(whole, share), part, atol=1e-6, rtol=0)


def test_halves_of_a_turn_make_it_whole_also_of_half_a_turn():
    turn = matrix(torch.cat([random_angles(300), torch.tensor([[180.0, 0, 0], [0, 0, 180.0]])]))
    half = power(turn, 0.5)
    assert_close(half @ half, turn, atol=1e-4, rtol=0)  # near half a turn axes are hard to see


def test_the_mean_of_turns_is_a_turn_and_does_not_wrap():
    turns = matrix(torch.tensor([[0.0, 0, 179], [0, 0, -179], [0, 0, 177]]))
    mean = nearest_rotation(turns.mean(0))
    assert_close(degrees(mean), torch.tensor([0.0, 0, 179]), atol=1e-2, rtol=0)
    assert_close(mean @ mean.T, torch.eye(3), atol=1e-6, rtol=0)
