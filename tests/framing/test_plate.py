"""What stands before a background is taken out of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from comfyui_motion import InputError
from comfyui_motion.framing.plate import clean_plate

HEIGHT, WIDTH, FRAMES = 96, 128, 9


def wall(width: int) -> Tensor:
    torch.manual_seed(3)
    rough = torch.rand(1, 3, HEIGHT // 6, width // 6)
    return F.interpolate(rough, size=(HEIGHT, width), mode="bicubic").clamp(0, 1)


def walking(pan: int) -> tuple[Tensor, Tensor, Tensor]:
    """Somebody grey walks to the right before a wall, while the camera goes by so many pixels a
    frame: clip, masks, and the clip without them.
    """
    behind = wall(WIDTH + 8 * FRAMES)
    plates = torch.cat([behind[..., pan * i : WIDTH + pan * i] for i in range(FRAMES)])
    masks = torch.zeros(FRAMES, 1, HEIGHT, WIDTH)
    for i in range(FRAMES):
        masks[i, :, 40:, 6 + 10 * i : 26 + 10 * i] = 1
    return torch.lerp(plates, torch.full_like(plates, 0.5), masks), masks, plates


@pytest.mark.parametrize(("pan", "off"), [(0, 1e-6), (3, 0.03)])
def test_what_is_behind_is_what_other_frames_show(pan, off):
    clip, masks, plates = walking(pan)
    done: list[tuple[int, int]] = []
    made = clean_plate(clip, masks, lambda *told: done.append(told))
    middle = slice(3, 6)  # everything behind them is seen in some other frame
    assert (made - plates)[middle].abs().mean(1).quantile(0.99) <= off
    assert done[-1] == (FRAMES, FRAMES)


def test_all_else_is_as_it_was():
    clip, masks, _ = walking(3)
    away = F.max_pool2d(masks, 13, 1, 6).expand_as(clip) == 0
    assert torch.equal(clean_plate(clip, masks)[away], clip[away])


def test_what_nobody_shows_goes_on_from_around():
    slope = torch.linspace(0.2, 0.8, WIDTH).expand(1, 3, HEIGHT, WIDTH)
    mask = torch.zeros(1, 1, HEIGHT // 2, WIDTH // 2)
    mask[..., 16:32, 20:36] = 1
    big = F.interpolate(mask, size=(HEIGHT, WIDTH))
    made = clean_plate(torch.lerp(slope, torch.ones_like(slope), big), mask)
    assert_close(made, slope, atol=0.06, rtol=0)


def test_one_mask_serves_all_and_none_changes_nothing():
    clip, masks, _ = walking(0)
    for one, none in ((clip, masks[:1]), (walking(3)[0], masks)):
        assert torch.equal(clean_plate(one, torch.zeros_like(none)), one)
    assert clean_plate(clip, masks[:1]).shape == clip.shape


@pytest.mark.parametrize(
    ("masks", "said"), [(torch.zeros(2, 1, 8, 8), "one mask or 9"), (torch.ones(1, 1, 8, 8), "all")]
)
def test_masks_that_cannot_be_are_refused(masks, said):
    with pytest.raises(InputError, match=said):
        clean_plate(walking(0)[0], masks)
