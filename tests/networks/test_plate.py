"""What lies behind a subject: filled in from round it, once, and shown where the
subject has gone.
"""

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.networks.plate import clean_plate, pull_push

HEIGHT, WIDTH = 37, 52


@pytest.fixture
def square():
    """A subject at rows 10-19 and columns 20-34, told at half the picture's size."""
    subject = torch.zeros(1, 1, 2 * HEIGHT, 2 * WIDTH)
    subject[..., 20:40, 40:70] = 1
    return torch.nn.functional.avg_pool2d(subject, 4, ceil_mode=True), slice(10, 20), slice(20, 35)


def with_subject(wall, square):
    picture = wall.clone()
    picture[..., square[1], square[2]] = torch.tensor([0.9, 0.1, 0.2]).view(3, 1, 1)
    return picture


def test_behind_a_subject_a_plain_wall_goes_on(square):
    wall = torch.tensor([0.2, 0.7, 0.3]).view(1, 3, 1, 1).expand(1, 3, HEIGHT, WIDTH)
    assert_close(clean_plate(with_subject(wall, square), square[0]), wall, atol=1e-3, rtol=0)


def test_a_wall_that_shades_off_is_filled_between_what_it_is_on_either_side(square):
    wall = torch.linspace(0.2, 0.8, WIDTH).expand(1, 3, HEIGHT, WIDTH)
    plate = clean_plate(with_subject(wall, square), square[0])
    assert (plate - wall).abs().max() < 0.12 and (plate - wall).abs()[
        ..., square[1], square[2]
    ].mean() < 0.04
    assert plate.min() > 0.19 and plate.max() < 0.81, "nothing of the subject is left"
    away = plate - wall
    away[..., 4:26, 14:41] = 0  # three pixels of the figure round it
    assert_close(away, torch.zeros_like(away), atol=1e-3, rtol=0)


def test_each_of_several_pictures_has_its_own(square):
    walls = torch.rand(2, 3, 1, 1).expand(2, 3, HEIGHT, WIDTH)
    subjects = torch.cat([square[0], torch.zeros_like(square[0])])
    assert_close(
        clean_plate(torch.cat([with_subject(walls[:1], square), walls[1:]]), subjects),
        walls,
        atol=1e-3,
        rtol=0,
    )


def test_a_picture_that_is_all_subject_leaves_its_mean():
    picture = torch.rand(1, 3, 32, 32)
    plate = clean_plate(picture, torch.ones(1, 1, 32, 32))
    assert_close(plate.mean((2, 3)), picture.mean((2, 3)), atol=0.02, rtol=0)
    assert plate.std((2, 3)).max() < 0.5 * picture.std((2, 3)).min()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (64, 64)])
def test_where_all_is_known_pull_push_changes_nothing(size):
    maps = torch.rand(2, 3, *size)
    assert_close(pull_push(maps, torch.ones(2, 1, *size)), maps)
