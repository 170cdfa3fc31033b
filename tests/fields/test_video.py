"""Optical flow of a clip finds the motion it was drawn with, and what it hides."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from comfyui_motion import InputError, MotionField, field_from_video, invert
from comfyui_motion.fields.video import both_ways

HEIGHT, WIDTH = 96, 128


def texture(seed: int) -> Tensor:
    """Noise of several scales, larger than the frame. 1 3 H W in 0..1"""
    generator = torch.Generator().manual_seed(seed)
    size = (2 * HEIGHT, 2 * WIDTH)
    scales = [
        F.interpolate(torch.rand(1, 3, n, n, generator=generator), size=size, mode="bicubic")
        for n in (12, 40, 90)
    ]
    return (sum(scales) / 3).clamp(0, 1)


def clip(frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """A square passes over a drifting ground: frames, where each pixel is in frame 0 (pixels), and
    whether it is seen there. T 3 H W, T H W 2, T H W
    """
    still = MotionField.identity(1, HEIGHT, WIDTH).to_pixels(HEIGHT, WIDTH)[0]
    ground, thing = texture(1), texture(2)
    made = []
    for i in range(frames):
        drift, step = torch.tensor([0.5 * i, 0.25 * i]), torch.tensor([3.0 * i, 0.0])
        here = still - step
        inside = ((here >= 30) & (here < 60)).all(-1)
        places = torch.where(inside[..., None], here, still - drift)
        grid = (places + 20) / torch.tensor([2 * WIDTH - 1, 2 * HEIGHT - 1]) * 2 - 1
        colours = [F.grid_sample(t, grid[None], align_corners=True)[0] for t in (thing, ground)]
        covered = ((places >= 30) & (places < 60)).all(-1) & ~inside
        outside = ((places < -0.5) | (places > torch.tensor([WIDTH, HEIGHT]) - 0.5)).any(-1)
        made.append((torch.where(inside, *colours), places, ~covered & ~outside))
    pictures, places, seen = zip(*made, strict=True)
    return torch.stack(pictures), torch.stack(places), torch.stack(seen)


@pytest.fixture(scope="module")
def found() -> tuple[MotionField, MotionField, Tensor, Tensor, Tensor]:
    frames, places, seen = clip(7)
    return *both_ways(frames), frames, places, seen


def test_motion_is_found_where_it_is_seen(found):
    field, _, _, places, seen = found
    error = (field.to_pixels(HEIGHT, WIDTH) - places).norm(dim=-1)
    assert (error[6][seen[6]] < 1).float().mean() > 0.95
    assert error[1][seen[1]].median() < 0.1


def test_what_comes_to_light_is_hidden(found):
    field, _, _, _, seen = found
    hidden = field.occlusion[-1][6, 0] < 0.5
    assert (hidden & ~seen[6]).sum() / (hidden | ~seen[6]).sum() > 0.6
    assert field.occlusion[-1][0].min() == 1


def test_both_ways_undo_one_another(found):
    field, back, *_ = found
    sure = invert(field[6]).occlusion[-1][0, 0] > 0.5
    sure &= back.occlusion[-1][6, 0] > 0.5
    apart = invert(field[6]).to_pixels(HEIGHT, WIDTH) - back[6].to_pixels(HEIGHT, WIDTH)
    assert (apart[0].norm(dim=-1)[sure] < 1).float().mean() > 0.95


def test_a_styled_frame_goes_along_with_the_clip(found):
    field, _, frames, _, seen = found
    moved = field.warp(frames[:1].flip(1), padding="border").flip(1)
    assert (moved - frames)[6][:, seen[6]].abs().mean() < 0.03


def test_any_frame_may_be_the_reference_and_the_one_before(found):
    frames, places = found[2], found[3]
    last = field_from_video(frames, -1)
    still = MotionField.identity(1, HEIGHT, WIDTH).to_pixels(HEIGHT, WIDTH)[0]
    assert (last.to_pixels(HEIGHT, WIDTH)[6] - still).abs().max() < 1e-3
    ground = last.to_pixels(HEIGHT, WIDTH)[0, 75:90, 10:60] - still[75:90, 10:60]
    assert (ground - torch.tensor([3.0, 1.5])).abs().median() < 0.1
    before = field_from_video(frames, "previous")
    ground = before.to_pixels(HEIGHT, WIDTH)[4, 75:90, 10:60] - still[75:90, 10:60]
    assert (ground + torch.tensor([0.5, 0.25])).abs().median() < 0.1
    assert places.shape == before.to_pixels(HEIGHT, WIDTH).shape


def test_after_a_cut_all_is_hidden_and_nothing_moves():
    blocks = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).round()
    frames = F.interpolate(blocks, size=(HEIGHT, WIDTH))
    field = field_from_video(frames)
    assert field.occlusion[-1][1].max() == 0
    assert torch.equal(field.warp(frames[:1])[1], frames[0])


def test_large_pictures_are_followed_at_the_size_asked_for():
    field = field_from_video(texture(1).expand(2, -1, -1, -1), detail=64)
    assert field.size == (48, 64)


@pytest.mark.parametrize("shape", [(1, 3, 40, 50), (2, 1, 7, 5), (2, 4, 1, 1)])
def test_clips_of_any_size_and_length_will_do(shape):
    field = field_from_video(torch.rand(shape))
    assert len(field) == shape[0] and field.grid.isfinite().all()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"reference": 9}, "0 to 1"), ({"reference": "next"}, "previous"), ({"detail": 4}, "16")],
)
def test_what_cannot_be_asked_for_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        field_from_video(torch.rand(2, 3, 32, 32), **options)
