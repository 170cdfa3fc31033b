"""Latents move as pictures do, with all they carry."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError, MotionField, warp_latent
from comfyui_motion.diffusion.latents import latent_length, warp_latent_dict


def shifts(frames: int, size: int = 8) -> MotionField:
    """Frame i reads i pixels further right."""
    still = MotionField.identity(1, size, size).to_pixels(size, size)
    return MotionField.from_pixels(
        torch.cat([still + torch.tensor([float(i), 0.0]) for i in range(frames)])
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "shape", [(1, 4, 1, 1), (3, 4, 5, 7), (1, 16, 300, 200), (2, 16, 1, 9, 31)]
)
def test_identity_leaves_a_latent_as_it_is(shape, dtype):
    latent = torch.randn(shape).to(dtype)
    moved = warp_latent(MotionField.identity(3 if len(shape) == 4 else 1, 6, 9), latent)
    assert moved.dtype == dtype
    assert_close(moved, latent.expand_as(moved), atol=1e-6, rtol=0)


def test_pictures_move_one_by_one_or_one_for_all():
    latent, field = torch.randn(3, 4, 8, 8), shifts(3)
    moved = warp_latent(field, latent)
    for i in range(3):
        assert_close(moved[i, :, :, : 8 - i], latent[i, :, :, i:], atol=1e-5, rtol=0)
    one = warp_latent(field, latent[:1])
    assert_close(one[2, :, :, :6], latent[0, :, :, 2:], atol=1e-5, rtol=0)


def test_films_move_by_the_frames_their_encoder_keeps():
    latent, field = torch.randn(2, 4, 1, 8, 8), shifts(6)
    moved = warp_latent(field, latent)
    assert moved.shape == (2, 4, 2, 8, 8)
    assert_close(moved[:, :, 0], latent[:, :, 0])
    assert_close(moved[:, :, 1, :, :4], latent[:, :, 0, :, 4:], atol=1e-5, rtol=0)
    wide = warp_latent(field, latent.expand(-1, -1, 6, -1, -1), time_stride=1)
    assert_close(wide[:, :, 4], moved[:, :, 1])


@pytest.mark.parametrize(("frames", "length"), [(1, 1), (4, 1), (5, 2), (81, 21)])
def test_a_film_of_so_many_frames_has_so_many_latent_ones(frames, length):
    assert latent_length(frames) == length


def test_what_a_latent_carries_goes_along_and_its_mask_moves():
    mask = torch.zeros(1, 16, 16)
    mask[..., 6:8] = 1
    latent = {"samples": torch.randn(1, 4, 8, 8), "noise_mask": mask, "batch_index": [3], "new": 1}
    given = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in latent.items()}
    moved = warp_latent_dict(shifts(3), latent)
    assert moved["batch_index"] == [3] and moved["new"] == 1
    assert moved["noise_mask"].shape == (3, 16, 16)
    assert moved["noise_mask"][2, 8].argmax() in (1, 2) and moved["noise_mask"][0].equal(mask[0])
    assert latent["samples"].equal(given["samples"]) and latent["noise_mask"].equal(mask)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 16, 16), (2, 16, 16)),
        ((2, 16, 16), (2, 16, 16)),
        ((6, 16, 16), (6, 16, 16)),
        ((6, 1, 16, 16), (6, 1, 16, 16)),
        ((1, 1, 2, 16, 16), (1, 1, 2, 16, 16)),
    ],
)
def test_a_films_masks_lie_along_its_time(shape, expected):
    latent = {"samples": torch.randn(1, 4, 2, 8, 8), "noise_mask": torch.rand(shape)}
    moved = warp_latent_dict(shifts(6), latent)
    assert moved["samples"].shape == (1, 4, 2, 8, 8)
    assert moved["noise_mask"].shape == expected


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (torch.zeros(1, 64, 100), "B C h w"),
        (torch.zeros(1, 4, 3, 8, 8), "field of 9 frames"),
        (torch.zeros(2, 4, 8, 8), "one picture or 6"),
        (SimpleNamespace(is_nested=True), "sound together"),
        ("latent", "is a str"),
    ],
)
def test_a_latent_that_cannot_move_is_refused(samples, said):
    with pytest.raises(InputError, match=said):
        warp_latent(shifts(6), samples)


def test_masks_of_another_length_are_refused():
    latent = {"samples": torch.zeros(1, 4, 8, 8), "noise_mask": torch.zeros(4, 8, 8)}
    with pytest.raises(InputError, match="4 masks"):
        warp_latent_dict(shifts(6), latent)


def test_a_stride_below_one_is_refused():
    with pytest.raises(InputError, match="1 or more"):
        warp_latent(shifts(2), torch.zeros(1, 4, 1, 8, 8), time_stride=0)
