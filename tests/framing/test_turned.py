"""Turned squares: cut level, and put back as changes, so that what is unchanged stays."""

import math

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError
from comfyui_motion.framing.crop import Place
from comfyui_motion.framing.turned import corners, cut_turned, paste_turned, square_of


def noise(height, width, count=1):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


PLACES = [
    Place((20.0, 10.0, 60.0, 50.0), 70, 90, angle)
    for angle in (0.0, 0.3, -1.2, math.pi, math.radians(179))
] + [
    Place((-15.5, -20.0, 30.5, 26.0), 70, 90, 0.4),  # across the border
    Place((-40.0, -40.0, 120.0, 120.0), 70, 90, 0.2),  # larger than the picture
    Place((40.0, 30.0, 56.0, 46.0), 70, 90, 0.7),  # 16 pixels
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [16, 64, 200])
def test_a_square_put_back_as_it_was_cut_moves_nothing(place, size):
    picture = noise(70, 90)
    assert torch.equal(paste_turned(picture, cut_turned(picture, place, size), place), picture)


@pytest.mark.parametrize("place", PLACES[:5])
def test_what_lies_outside_the_square_stays_to_the_bit(place):
    picture = noise(70, 90)
    pasted = paste_turned(picture, torch.ones(1, 3, 32, 32), place, fade=0.0)
    x = torch.arange(90) + 0.5 - 40
    y = torch.arange(70)[:, None] + 0.5 - 30
    across = (x * math.cos(place.angle) + y * math.sin(place.angle)).abs()
    down = (y * math.cos(place.angle) - x * math.sin(place.angle)).abs()
    outside = torch.maximum(across, down) > 20 + 1e-4
    assert torch.equal(pasted[..., outside], picture[..., outside])
    assert (pasted[..., ~outside] != picture[..., ~outside]).float().mean() > 0.9


def test_an_upright_square_is_cut_pixel_by_pixel():
    picture = noise(40, 50)
    place = Place((10.0, 5.0, 30.0, 25.0), 40, 50)
    assert_close(cut_turned(picture, place, 20), picture[..., 5:25, 10:30], atol=1e-5, rtol=0)


def test_a_turned_square_shows_its_subject_level():
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    angle = 0.5
    level = (y - 100) * math.cos(angle) - (x - 100) * math.sin(angle)
    cut = cut_turned(
        (level > 0).float()[None, None], Place((50, 50, 150, 150), 200, 200, angle), 64
    )
    assert cut[..., :31, :].max() < 0.01 and cut[..., 33:, :].min() > 0.99


def test_large_squares_are_antialiased():
    stripes = (torch.arange(512) % 2).float().expand(1, 3, 512, 512)
    cut = cut_turned(stripes, Place((0.0, 0.0, 512.0, 512.0), 512, 512, 0.1), 64)
    assert_close(cut, torch.full_like(cut, 0.5), atol=0.05, rtol=0)


def test_the_square_of_points_is_level_with_them_and_holds_them():
    points = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * 10
    turn = torch.tensor([[math.cos(0.4), math.sin(0.4)], [-math.sin(0.4), math.cos(0.4)]])
    box, angle = square_of(points @ turn + 50, turn[0], 1.0, 0.0)
    assert angle == pytest.approx(0.4)
    found = torch.tensor(corners(Place(box, 100, 100, angle)))
    assert_close(found, points @ turn + 50, atol=1e-4, rtol=0)
    lower, _ = square_of(points, torch.tensor([1.0, 0.0]), 2.0, -0.25)
    assert lower == pytest.approx((-20, -30, 20, 10))


def test_what_cannot_be_turned_is_refused():
    with pytest.raises(InputError, match="is none"):
        cut_turned(noise(40, 50), Place((0, 0, 10, 20), 40, 50, 0.1), 8)
    with pytest.raises(InputError, match="outside the picture"):
        paste_turned(noise(40, 50), noise(8, 8), Place((100, 100, 120, 120), 40, 50, 0.1))
