"""Sources with alpha keep it: it moves along, and no halo comes in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import MotionField
from comfyui_motion.animate import perform
from comfyui_motion.cli import main
from comfyui_motion.cutout import enclosed, move_alpha, split_alpha, warp_cutout
from comfyui_motion.media.video import VideoWriter

HEIGHT, WIDTH = 64, 80
STILL = MotionField.identity(1, HEIGHT, WIDTH).to_pixels(HEIGHT, WIDTH)


@pytest.fixture
def cutout() -> torch.Tensor:
    """A soft red disc with dark stripes; where it is transparent lies bright green."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    away = ((x - 40.0) ** 2 + (y - 32.0) ** 2).sqrt()
    alpha = ((22 - away) / 4).clamp(0, 1)
    stripes = 0.6 + 0.4 * torch.sin(x / 2.0) * torch.sin(y / 3.0)
    red = torch.stack([stripes, 0 * stripes, 0.2 * stripes])
    green = torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand(3, HEIGHT, WIDTH)
    colours = torch.where(alpha > 0, red, green)
    return torch.cat([colours, alpha[None]])[None]


def clip(frames: int = 4) -> torch.Tensor:
    """Its driver: the disc slides to the right over grey."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    made = []
    for i in range(frames):
        away = ((x - 40.0 - 2 * i) ** 2 + (y - 32.0) ** 2).sqrt()
        alpha = ((22 - away) / 4).clamp(0, 1)
        stripes = 0.6 + 0.4 * torch.sin((x - 2 * i) / 2.0) * torch.sin(y / 3.0)
        disc = torch.stack([stripes, 0 * stripes, 0.2 * stripes])
        made.append(disc * alpha + 0.5 * (1 - alpha))
    return torch.stack(made)


def test_what_is_transparent_takes_the_colours_around_it(cutout):
    colours, alpha = split_alpha(cutout)
    assert alpha is not None and alpha.shape == (1, 1, HEIGHT, WIDTH)
    assert colours[:, 1].max() < 0.01  # no green
    whole = alpha == 1
    assert torch.equal(
        colours[whole.expand(1, 3, -1, -1)], cutout[:, :3][whole.expand(1, 3, -1, -1)]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_opaque_has_no_alpha(channels):
    picture = torch.rand(1, channels, 5, 6)
    assert split_alpha(picture)[1] is None
    assert split_alpha(torch.cat([picture, torch.ones(1, 1, 5, 6)], dim=1))[1] is None


def test_a_cut_out_moves_without_a_halo(cutout):
    field = MotionField.from_pixels(STILL - torch.tensor([7.5, 3.25]))
    moved = warp_cutout(field, cutout)
    assert moved[:, 1].max() < 0.01 and moved.shape == (1, 4, HEIGHT, WIDTH)
    assert_close(moved[:, 3:], field.warp(cutout[:, 3:], "border"))
    still = warp_cutout(MotionField.identity(1, 8, 8), cutout)
    shown = cutout[:, 3:] > 0.01
    assert_close((still * shown)[:, :3], (cutout * shown)[:, :3], atol=1e-5, rtol=0)


def test_animated_it_keeps_its_alpha_and_its_colours(cutout):
    steps = list(perform(motion.load("flow"), cutout, clip(), size="source"))
    frames, alpha = (torch.cat([getattr(s, n) for s in steps]) for n in ("frames", "alpha"))
    assert alpha.shape == (4, 1, HEIGHT, WIDTH) and frames.shape == (4, 3, HEIGHT, WIDTH)
    assert frames[:, 1][alpha[:, 0] > 0.05].max() < 0.05
    assert_close(alpha[0], cutout[0, 3:], atol=0.1, rtol=0)
    middle = (alpha * torch.arange(WIDTH)).sum((1, 2, 3)) / alpha.sum((1, 2, 3))
    assert_close(middle, 40 + 2 * torch.arange(4.0), atol=0.7, rtol=0)
    opaque = list(perform(motion.load("flow"), cutout[:, :3], clip(), size="source"))
    assert opaque[0].alpha is None


def test_where_the_subject_went_away_nothing_is_left_of_it():
    """A square moves right by 12 pixels, and its field goes on reading it where it was."""
    square = torch.zeros(1, 1, HEIGHT, WIDTH)
    square[..., 20:50, 20:50] = 1
    now = square.roll(12, -1)
    field = MotionField.from_pixels(STILL - now[0, 0, :, :, None] * torch.tensor([12.0, 0.0]))
    uncovered = square * (1 - now)
    moved = move_alpha(square, field, uncovered)
    assert ((moved - now).abs() > 1e-3).sum() <= 4  # its corners
    assert field.warp(square)[..., 20:50, 22:30].min() == 1  # the ghost there would be


def test_doubt_within_the_subject_and_what_opens_in_it_leave_no_holes():
    alpha = torch.zeros(1, 1, HEIGHT, WIDTH)
    alpha[..., 20:, 20:60] = 1
    hidden = torch.zeros(1, 1, HEIGHT, WIDTH)
    hidden[..., 30:38, 18:26] = 1  # at its edge
    hidden[..., 32:38, 40:46] = 1  # within
    moved = move_alpha(alpha, MotionField.identity(1, HEIGHT, WIDTH), hidden)
    assert_close(moved, alpha)
    away = MotionField.from_pixels(STILL + torch.tensor([0.0, 30.0]))  # up, its end in sight
    assert move_alpha(alpha, away, torch.ones_like(alpha))[..., -20:, 25:55].min() == 1


def test_holes_are_what_the_edge_does_not_reach():
    ring = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    ring[..., 2:7, 2:7] = True
    ring[..., 3:6, 3:6] = False
    assert enclosed(ring)[0, 0].sum() == 25
    ring[..., 4, 6] = False
    assert torch.equal(enclosed(ring), ring)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.webm", None), ("a.mov", "prores"), ("a.webp", None), ("a/%03d.png", None)],
)
def test_files_that_have_room_for_alpha_keep_it(tmp_path, cutout, name, codec):
    import av

    with VideoWriter(tmp_path / name, 12, codec=codec) as writer:
        writer.write(cutout.expand(3, -1, -1, -1))
    if name.endswith(".png"):
        alpha = np.array(Image.open(tmp_path / "a" / "000.png"))[..., 3]
    elif name.endswith(".webp"):
        alpha = np.array(Image.open(tmp_path / name).convert("RGBA"))[..., 3]
    else:
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            packets = container.demux(stream)
            decoder = stream.codec_context
            if name.endswith(".webm"):
                decoder = av.CodecContext.create("libvpx-vp9", "r")
            frame = next(f for packet in packets for f in decoder.decode(packet))
        alpha = frame.reformat(format="rgba").to_ndarray()[..., 3]
    assert np.abs(alpha / 255 - cutout[0, 3].numpy()).mean() < 0.02


def test_files_without_room_for_it_are_laid_on_white_and_it_is_said(tmp_path, cutout, caplog):
    with VideoWriter(tmp_path / "a.mp4", 12) as writer:
        writer.write(cutout)
        writer.write(cutout)
    frame = motion.read_video(tmp_path / "a.mp4").frames()[0]
    assert frame[:, :6, :6].min() > 0.95
    assert len([r for r in caplog.records if "laid on white" in r.getMessage()]) == 1


def test_the_command_line_keeps_a_pictures_alpha(tmp_path, cutout):
    motion.write_picture(cutout, tmp_path / "source.png")
    motion.write_video(tmp_path / "clip.mp4", clip(), 12)
    words = ["animate", tmp_path / "source.png", tmp_path / "clip.mp4", "-o", tmp_path / "out/"]
    words = [str(word) for word in words]
    words[-1] += "/"
    assert main([*words, "--model", "flow"]) == 0
    pixels = np.array(Image.open(sorted((tmp_path / "out").glob("*.png"))[2]))
    assert pixels.shape[-1] == 4 and pixels[2, 2, 3] == 0 and pixels[32, 44, 3] > 200


def test_parts_move_as_what_they_make_up():
    torch.manual_seed(0)
    parts = torch.rand(1, 3, HEIGHT, WIDTH) / 3
    field = MotionField.from_pixels(STILL + torch.tensor([3.0, 1.0]))
    hidden = torch.zeros(1, 1, HEIGHT, WIDTH)
    hidden[..., 20:40, 10:30] = 0.7
    moved = move_alpha(parts, field, hidden)
    assert moved.shape == parts.shape
    together = move_alpha(parts.sum(1, keepdim=True), field, hidden)
    assert_close(moved.sum(1, keepdim=True), together, atol=1e-6, rtol=0)
