"""Cutting out and putting back: what is not touched comes back as it was."""

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import (
    InputError,
    crop_subject,
    paste_back,
    square_box,
)
from comfyui_motion.framing.crop import Place, edge_share


@pytest.fixture
def pictures():
    torch.manual_seed(0)
    return torch.rand(2, 3, 60, 80)


BOXES = [
    (20, 10, 50, 40),
    (20.3, 9.8, 44.6, 41.2),
    (-10, -5, 30, 35),
    (60, 30, 95, 70),
    (-20, -20, 100, 80),
]


@pytest.mark.parametrize(
    "box",
    BOXES,
    ids=["inside", "between pixels", "over a corner", "over the other corner", "round the picture"],
)
@pytest.mark.parametrize("feather", [0, 5])
def test_a_crop_put_back_untouched_changes_nothing(pictures, box, feather):
    crops = crop_subject(pictures, box, margin=0.1)
    assert crops.shape[-1] == crops.shape[-2]
    assert torch.equal(paste_back(pictures, crops, square_box(box, 0.1), feather), pictures)


def test_a_crop_is_the_square_round_its_box_and_the_margin(pictures):
    assert square_box((10, 20, 30, 30)) == (10, 15, 30, 35)
    assert square_box((10, 20, 30, 30), 0.5) == (0, 5, 40, 45)
    assert_close(crop_subject(pictures, (10, 20, 30, 30)), pictures[..., 15:35, 10:30])


def test_beyond_the_picture_the_edge_is_repeated(pictures):
    crops = crop_subject(pictures, (-4, 0, 16, 20))
    assert_close(crops[..., :4], pictures[..., :20, :1].expand(-1, -1, -1, 4))
    assert_close(crops[..., 4:], pictures[..., :20, :16])


@pytest.mark.parametrize("size", [16, 20, 64, (33, 40)])
def test_crops_come_at_the_size_asked_for(pictures, size):
    crops = crop_subject(pictures, (10, 10, 30, 30), size)
    assert crops.shape == (2, 3, *((size, size) if isinstance(size, int) else size))
    assert crops.min() >= 0 and crops.max() <= 1


def test_a_smaller_crop_is_antialiased():
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    crops = crop_subject(checks.float().expand(1, 3, -1, -1), (0, 0, 64, 64), 16)
    assert_close(crops[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5), atol=0.02, rtol=0)


def test_what_is_pasted_is_there_and_the_rest_as_it_was(pictures):
    pasted = paste_back(pictures[:1], torch.ones(3, 3, 50, 50), (20, 10, 40, 30))
    assert pasted.shape == (3, 3, 60, 80) and pasted[..., 10:30, 20:40].min() > 0.999
    pasted[..., 10:30, 20:40] = pictures[:1, :, 10:30, 20:40]
    assert_close(pasted, pictures[:1].expand(3, -1, -1, -1))


def test_an_edge_fades_inside_the_box_and_not_at_the_picture_s_own():
    share = edge_share((20, 0, 80, 30), 60, 80, 8)[0, 0]
    assert share[:, :20].max() == 0 and share[30:].max() == 0
    assert share[:22, 28:].min() == 1, "the right and the upper edge are the picture's"
    row = share[10, 20:28]
    assert bool((row.diff() > 0).all()) and row[0] < 0.05 and row[-1] > 0.95


def test_a_place_holds_on_an_enlarged_picture(pictures):
    place = Place((20, 10, 40, 30), 60, 80)
    assert place.on(120, 160) == (40, 20, 80, 60)
    large = torch.nn.functional.interpolate(pictures, scale_factor=2)
    pasted = paste_back(large, crop_subject(pictures, place.box) * 0, place.on(120, 160))
    assert pasted[..., 20:60, 40:80].max() == 0 and torch.equal(
        pasted[..., 60:, :], large[..., 60:, :]
    )


def test_what_is_given_is_never_written_into(pictures):
    kept = pictures.clone()
    paste_back(pictures, torch.zeros(2, 3, 8, 8), (5, 5, 20, 20))
    crop_subject(pictures, (5, 5, 20, 20)).zero_()
    assert torch.equal(pictures, kept)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (lambda p: crop_subject(p, (30, 10, 20, 40)), "at least one wide"),
        (lambda p: crop_subject(p, (0, 0, 10, float("nan"))), "at least one wide"),
        (lambda p: crop_subject(p, (0, 0, 10, 10), margin=-0.5), "margin"),
        (lambda p: crop_subject(p[0], (0, 0, 10, 10)), "B C H W"),
        (lambda p: paste_back(p, torch.rand(3, 3, 8, 8), (0, 0, 10, 10)), "2 pictures and 3 crops"),
        (lambda p: paste_back(p, torch.rand(2, 1, 8, 8), (0, 0, 10, 10)), "B 3 h w"),
        (
            lambda p: paste_back(p, torch.rand(2, 3, 8, 8), (100, 0, 120, 20)),
            "lies outside the picture, which is 80x60",
        ),
    ],
)
def test_what_cannot_be_cut_or_pasted_is_said_in_a_sentence(pictures, wish, says):
    with pytest.raises(InputError, match=says):
        wish(pictures)
