"""One clip in parts, by several workers, is the clip made by one."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import InputError
from comfyui_motion.cli import main
from comfyui_motion.cli.split import END, parts_of
from comfyui_motion.media.picture import read_cutout, write_picture
from comfyui_motion.media.video import read_video, write_video


@pytest.fixture
def clip():
    """A texture that slides. 7 3 48 64"""
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 12), (48, 90), mode="bicubic")
    return torch.cat([texture[..., 12 - i : 76 - i].clamp(0, 1) for i in range(7)])


def test_parts_are_whole_batches_and_the_last_is_open():
    assert parts_of(10, 3, 2) == [(0, 4), (4, 8), (8, END)]
    assert parts_of(2, 4, 2) == [(0, END)]
    with pytest.raises(InputError, match="how many frames"):
        parts_of(None, 2, 2)


def test_frames_asked_for_alone_are_those_of_the_whole(clip):
    model = motion.build("flow", detail=96, lattice=24, size=128)
    whole = torch.cat(list(motion.animate(model, clip[:1], clip, size="source", batch_size=2)))
    for only in ((0, 3), (3, 5), (5, END)):
        made = motion.animate(model, clip[:1], clip, size="source", batch_size=2, only=only)
        assert_close(torch.cat(list(made)), whole[only[0] : only[1]], atol=1e-6, rtol=0)


@pytest.mark.parametrize("only", [(3, 3), (-1, 2)])
def test_no_frames_at_all_are_refused(clip, only):
    with pytest.raises(InputError, match="only must be"):
        motion.animate(motion.load("flow", device="cpu"), clip[:1], clip, only=only)


def test_two_workers_write_what_one_writes(clip, tmp_path, capsys):
    """Of a cut-out with its alpha, into folders that are not there yet, and as films."""
    alpha = torch.ones(1, 1, 48, 64)
    alpha[..., :20] = 0.3
    alpha[:, :, 30:] = 0
    write_picture(torch.cat([clip[:1], alpha], 1), tmp_path / "me.png")
    write_video(tmp_path / "clip.mp4", clip, 12)
    shared = ["animate", tmp_path / "me.png", tmp_path / "clip.mp4", "--model", "flow"]
    shared += ["--device", "cpu", "--batch", "2"]

    def made(folder, *more):
        (tmp_path / folder).mkdir()
        outputs = ["-o", tmp_path / folder / "o" / "%03d.png"]
        outputs += ["--occlusion", tmp_path / folder / "m.gif"]
        assert main([str(word) for word in [*shared, *outputs, *more]]) == 0
        frames = sorted((tmp_path / folder / "o").iterdir())
        return read_video(tmp_path / folder / "m.gif").frames(), frames

    masks, frames = made("one")
    other_masks, others = made("two", "--workers", "2")
    assert torch.equal(masks, other_masks)
    assert [p.read_bytes() for p in frames] == [p.read_bytes() for p in others]
    shown = read_cutout(others[5])
    assert len(others) == 7 and shown.shape[1] == 4 and 0.1 < shown[:, 3].mean() < 0.6
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["m.gif", "o"]
    words = [*shared, "-o", tmp_path / "x.gif", "--workers", "2", "--preview", tmp_path / "p.png"]
    assert main([str(word) for word in words]) == 2
    assert "--preview is made by one worker" in capsys.readouterr().err
