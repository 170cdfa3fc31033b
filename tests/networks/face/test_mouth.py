"""The inside of a mouth: what of a driver's is carried over, and how."""

import numpy as np
import pytest
import torch

from comfyui_motion.networks.face.hole import brought
from comfyui_motion.networks.face.mouth import Opening, Tones, inside, paint, teeth_tone, whole
from comfyui_motion.networks.face.topology import LIPS, canonical

SIDE = 400
SKIN, LIP, DARK = (0.85, 0.65, 0.55), (0.75, 0.3, 0.32), (0.1, 0.05, 0.05)
INNER = list(LIPS.inner)


def face_with_mouth(wide, tall):
    """A face's points, 478 2, with its inner lips round a mouth so wide and tall in pixels."""
    surface = canonical().numpy()[:, :2] * [18, -18] + SIDE / 2
    points = np.concatenate([surface, surface[:10]])
    middle = points[INNER].mean(0)
    angle = np.pi - np.linspace(0, 2 * np.pi, len(INNER), endpoint=False)
    places = np.stack([np.cos(angle) * wide / 2, -np.sin(angle) * tall / 2], -1)
    points[INNER] = middle + places
    outer = np.pi + np.linspace(0, 2 * np.pi, len(LIPS.outer), endpoint=False)
    points[list(LIPS.outer)] = middle + np.stack(
        [np.cos(outer) * wide * 0.75, -np.sin(outer) * tall], -1
    )
    return points, middle


def drawn(points, middle, hole):
    """Skin, lips as wide as their outline, a dark hole with these half axes."""
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.broadcast_to(np.float32(SKIN), (SIDE, SIDE, 3)).copy()
    reach = np.ptp(points[list(LIPS.outer)], axis=0) / 2 + 6
    picture[np.hypot((x - middle[0]) / reach[0], (y - middle[1]) / reach[1]) < 1] = LIP
    picture[np.hypot((x - middle[0]) / hole[0], (y - middle[1]) / hole[1]) < 1] = DARK
    return picture


@pytest.mark.parametrize("tall", [30, 60])
def test_of_a_pursed_mouth_only_the_hole_is_kept(tall):
    points, middle = face_with_mouth(80, tall)
    seen, went = inside(drawn(points, middle, (20, tall / 4)), points)
    assert (seen[0, 8:-8, 16:-16] < 0.15).all()  # dark, no lips
    upper, lower = INNER.index(13), INNER.index(14)
    assert went[upper, 1] > 0.08 * tall and went[lower, 1] < -0.08 * tall  # towards the hole
    assert went[0, 0] > 4 and went[10, 0] < -4  # the corners, too


@pytest.mark.parametrize(("tall", "hole"), [(40, (60, 40)), (2, (60, 1))])
def test_lips_stay_where_they_end_and_where_a_mouth_is_shut(tall, hole):
    points, middle = face_with_mouth(80, tall)
    _, went = inside(drawn(points, middle, hole), points)
    assert np.abs(went).max() < 0.5


def test_all_rows_of_lips_are_drawn_along_and_nothing_else():
    went = torch.ones(1, 20, 2)
    moved = brought(torch.zeros(1, 478, 3), went)[0]
    assert (moved[INNER, :2] == 1).all() and (moved[:, 2] == 0).all()
    others = sorted({*range(478)} - {*INNER})
    far = moved[others, 0]
    assert sorted(far[far > 0].unique().tolist()) == pytest.approx([1 / 3, 2 / 3])
    assert int((far > 0).sum()) == 40
    assert (moved[list(LIPS.outer)] == 0).all()


def test_a_mouth_grows_dark_from_its_lips_inwards_without_a_bright_rim():
    points, _ = face_with_mouth(120, 80)
    tones = Tones(np.array(SKIN), np.array(LIP))
    mouth = torch.stack([torch.full((32, 64), 0.08), torch.zeros(32, 64)])
    painted = paint(Opening.of(points), mouth, 1.0, tones, SIDE, SIDE)
    column = painted.colour[:, painted.colour.shape[1] // 2].mean(-1)
    shown = painted.share[:, painted.share.shape[1] // 2, 0] > 0.5
    column = column[shown]
    half = len(column) // 2
    assert (column[:half].diff() <= 2e-3).all()  # its depth grows a little lighter downwards
    assert (column[-half:].diff() >= -1e-4).all()
    assert column.max() < np.mean(LIP)
    assert column[half] < 0.1


@pytest.mark.parametrize("lips", [LIP, (0.4, 0.4, 0.4)])
def test_the_depth_of_a_mouth_is_dark_and_warm_but_never_black(lips):
    points, _ = face_with_mouth(120, 80)
    tones = Tones(np.array(SKIN), np.array(lips))
    painted = paint(Opening.of(points), torch.zeros(2, 32, 64), 1.0, tones, SIDE, SIDE)
    column = painted.colour[:, painted.colour.shape[1] // 2]
    middle = column[len(column) // 2]
    assert 0.02 < middle.mean() < 0.12
    assert (middle[0] > middle[2] + 0.02) == (lips == LIP)  # as grey as lips are


@pytest.mark.parametrize("skin", [SKIN, (0.45, 0.3, 0.25), (0.75, 0.6, 0.25), (0.5, 0.5, 0.5)])
def test_teeth_are_whiter_than_skin_in_the_same_light_and_as_grey_in_a_grey_picture(skin):
    skin = np.array(skin)
    tone = teeth_tone(skin)
    assert tone @ [0.299, 0.587, 0.114] == pytest.approx(skin @ [0.299, 0.587, 0.114])
    assert tone[0] >= tone[1] - 1e-9 >= tone[2] - 2e-9  # warm, never green
    assert np.ptp(tone) <= 0.6 * np.ptp(skin) + 1e-9


def test_thin_ends_of_an_open_mouth_are_lips_and_those_of_a_smile_are_not():
    along = torch.linspace(0, 1, 101)
    for tall, bare in ((80, False), (15, True)):
        points, _ = face_with_mouth(100, tall)
        share = whole(Opening.of(points), along)
        assert share[50] == 1
        assert (share[1] == 1) == bare
