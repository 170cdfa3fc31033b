"""Points go where the field takes them, and hide where it hides them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError, Keypoints, MotionField, tracks
from comfyui_motion.fields.follow import Frame, Tracks, spread_points, vectors
from comfyui_motion.fields.tracks import WAN_POINTS, tracks_to_text

HEIGHT, WIDTH = 48, 64
STILL = MotionField.identity(1, HEIGHT, WIDTH).to_pixels(HEIGHT, WIDTH)


def turning(frames: int) -> tuple[MotionField, list[torch.Tensor]]:
    """Each frame turns, grows and drifts a little further; and the maps source -> frame, 2 3."""
    fields, maps = [], []
    for i in range(frames):
        angle, grown = 0.05 * i, 1 + 0.02 * i
        turn = grown * torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        centre, drift = torch.tensor([31.0, 23.0]), torch.tensor([1.5 * i, -0.5 * i])
        back = (STILL - centre - drift) @ torch.linalg.inv(turn).T + centre
        fields.append(MotionField.from_pixels(back))
        maps.append(torch.cat([turn, (centre + drift - turn @ centre)[:, None]], dim=1))
    return MotionField.join(fields), maps


def test_points_go_where_the_field_takes_them():
    field, maps = turning(5)
    points = torch.tensor([[31.0, 23.0], [20.0, 15.5], [40.0, 30.0]])
    found = tracks(field, points)
    expected = torch.stack([points @ m[:, :2].T + m[:, 2] for m in maps])
    assert_close(found.track_path, expected, atol=0.02, rtol=0)
    assert found.track_visibility.all() and found.track_visibility.dtype == torch.bool


def test_pixels_may_be_those_of_a_larger_picture_and_points_keypoints():
    field, _ = turning(3)
    points = torch.tensor([[20.0, 15.5]])
    own = tracks(field, points).track_path
    span = torch.tensor([WIDTH - 1, HEIGHT - 1.0])
    large = torch.tensor([4 * WIDTH - 1, 4 * HEIGHT - 1.0])
    theirs = tracks(field, points / span * large, (4 * HEIGHT, 4 * WIDTH)).track_path
    assert_close(theirs / large, own / span, atol=1e-5, rtol=0)
    assert_close(tracks(field, Keypoints((points / span * 2 - 1)[None])).track_path, own)


def test_points_hide_where_the_field_hides_them_and_when_they_leave():
    seen = torch.ones(3, 1, HEIGHT, WIDTH)
    seen[1, :, :, :32] = 0
    grid = MotionField.from_pixels(
        torch.cat([STILL, STILL, STILL - torch.tensor([30.0, 0.0])])
    ).grid
    found = tracks(MotionField(grid, (seen,)), torch.tensor([[16.0, 20.0], [50.0, 20.0]]))
    assert found.track_visibility.tolist() == [[True, True], [False, True], [True, False]]


def test_vectors_summed_over_frames_are_the_tracks():
    field, _ = turning(6)
    frames = [Frame.of(field[i]) for i in range(6)]
    points = torch.tensor([[31.0, 23.0], [22.0, 16.0], [38.5, 27.25]])
    place = tracks(field, points).track_path
    at = place[0]
    for i in range(5):
        moved, known = vectors(frames[i], frames[i + 1], HEIGHT, WIDTH)
        grid = at / torch.tensor([WIDTH - 1, HEIGHT - 1]) * 2 - 1
        step = torch.nn.functional.grid_sample(moved[None], grid[None, None], align_corners=True)
        at = at + step[0, :, 0].T
        assert known[10:38, 10:54].all()
        assert_close(at, place[i + 1], atol=0.1, rtol=0)


def test_vectors_back_undo_vectors_forth_and_are_nothing_where_unknown():
    field, _ = turning(2)
    one, other = Frame.of(field[0]), Frame.of(field[1])
    forth, known = vectors(one, other, HEIGHT, WIDTH)
    back, _ = vectors(other, one, HEIGHT, WIDTH)
    assert forth[:, ~known].abs().sum() == 0 and not known.all()
    y, x = 20, 30
    to = (x + float(forth[0, y, x]), y + float(forth[1, y, x]))
    assert abs(float(back[0, round(to[1]), round(to[0])]) + float(forth[0, y, x])) < 0.2


def test_vectors_at_a_larger_size_are_longer_by_as_much():
    field, _ = turning(2)
    one, other = Frame.of(field[0]), Frame.of(field[1])
    small, _ = vectors(one, other, HEIGHT, WIDTH)
    large, _ = vectors(one, other, 5 * HEIGHT - 4, 5 * WIDTH - 4)
    assert_close(large[:, 100:140:5, 100:140:5], 5 * small[:, 20:28, 20:28], atol=0.05, rtol=0)


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (1, 1)])
def test_points_of_pictures_a_pixel_wide_stay_where_nothing_moves(size):
    field = MotionField.identity(2, *size)
    path, seen = tracks(field, torch.zeros(1, 2))
    assert path.abs().max() < 1e-4 and seen.all()
    assert tracks(field, torch.zeros(0, 2)).track_path.shape == (2, 0, 2)


@pytest.mark.parametrize(
    "points", [torch.zeros(3), torch.zeros(3, 3), torch.tensor([[float("nan"), 0.0]])]
)
def test_points_that_are_none_are_refused(points):
    with pytest.raises(InputError):
        tracks(turning(2)[0], points)


def test_points_are_spread_over_a_picture_or_a_mask():
    assert 40 <= len(spread_points(48, 64, 48)) <= 56
    mask = torch.zeros(24, 32)
    mask[4:12, 8:20] = 1
    points = spread_points(48, 64, 20, mask)
    assert 14 <= len(points) <= 30
    assert (points[:, 0] >= 15).all() and (points[:, 0] <= 40).all()
    assert (points[:, 1] >= 7).all() and (points[:, 1] <= 24).all()
    with pytest.raises(InputError, match="marks nothing"):
        spread_points(48, 64, 20, torch.zeros(4, 4))


def test_text_for_wan_has_121_points_and_ends_where_a_point_hides():
    path = torch.stack([torch.arange(5.0), torch.zeros(5)], dim=-1)[:, None].repeat(1, 3, 1)
    visible = torch.ones(5, 3, dtype=torch.bool)
    visible[3:, 1] = False
    visible[0, 2] = False
    text = json.loads(tracks_to_text(Tracks(path, visible), WAN_POINTS))
    assert len(text) == 2 and len(text[0]) == WAN_POINTS
    assert [text[0][i]["x"] for i in (0, 30, 60, 120)] == [0, 1, 2, 4]
    assert text[1][-1]["x"] == 2 and len(text[1]) == 61
    each = json.loads(tracks_to_text(Tracks(path, visible)))
    assert [len(track) for track in each] == [5, 5, 5]
    with pytest.raises(InputError, match="first frame"):
        tracks_to_text(Tracks(path, torch.zeros(5, 3, dtype=torch.bool)), WAN_POINTS)


@pytest.mark.parametrize("points", ["nose", [["1", "2"]], [[1, 2], [3]], None])
def test_points_that_are_no_numbers_are_refused(points):
    with pytest.raises(InputError, match="N 2 numbers"):
        tracks(MotionField.identity(1, 8, 8), points)
