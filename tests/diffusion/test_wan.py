"""What Wan Animate is given of a clip."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from comfyui_motion import InputError
from comfyui_motion.diffusion.wan import blocks, face_crops, whose_face_it_is
from comfyui_motion.networks.face.topology import canonical

HEIGHT, WIDTH, FRAMES = 120, 200, 6


def faces(found: bool = True) -> SimpleNamespace:
    """A face that goes to the right by 6 pixels a frame."""
    surface = canonical() * torch.tensor([2.0, -2.0, 2.0])
    face = torch.cat([surface, surface[:10]]) + torch.tensor([50.0, 60.0, 0.0])
    steps = torch.arange(FRAMES)[:, None, None] * torch.tensor([6.0, 0.0, 0.0])
    told = torch.full((FRAMES,), found)
    return SimpleNamespace(points=face + steps, found=told, cut=torch.zeros_like(told))


def bars() -> Tensor:
    """A bright bar that goes along with the face."""
    frames = torch.zeros(FRAMES, 3, HEIGHT, WIDTH)
    for i in range(FRAMES):
        frames[i, :, :, 48 + 6 * i : 52 + 6 * i] = 1
    return frames


def test_the_square_goes_along_with_the_face():
    crops = face_crops(bars(), faces(), size=64)
    assert crops.shape == (FRAMES, 3, 64, 64)
    columns = torch.arange(64.0)
    middles = (crops[:, 0].mean(1) * columns).sum(1) / crops[:, 0].mean(1).sum(1)
    assert_close(middles[2:4], torch.full((2,), 31.5), atol=1.5, rtol=0)
    wider = face_crops(bars(), faces(), sides=2.6, size=64)
    assert wider[3].mean() < 0.7 * crops[3].mean()


def test_a_clip_without_a_face_is_refused():
    with pytest.raises(InputError, match="No frame"):
        face_crops(bars(), faces(found=False))


def test_of_several_people_it_is_the_one_with_the_face():
    masks = torch.zeros(FRAMES, 1, HEIGHT, WIDTH)
    masks[..., 20:, :30] = 1
    masks[..., 10:, 35:180] = 0.9
    kept = whose_face_it_is(masks, faces().points)
    assert kept[..., :30].max() == 0 and torch.equal(kept[..., 35:], masks[..., 35:])
    nowhere = whose_face_it_is(masks, faces().points + 1000)
    assert torch.equal(nowhere, masks)


def test_a_mask_in_blocks_covers_the_mask():
    mask = torch.zeros(1, 1, 20, 30)
    mask[..., 7, 9] = 1
    squares = blocks(mask, 8)
    assert squares.shape == mask.shape and squares.sum() == 64 and squares[..., 0:8, 8:16].all()
    assert torch.equal(blocks(mask, 1), mask)
