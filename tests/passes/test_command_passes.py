"""comfyui-motion passes, and animate --passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from comfyui_motion import MotionField, read_stmap, save_field, write_picture, write_video
from comfyui_motion.animate import Step
from comfyui_motion.cli import main
from comfyui_motion.cli.mattes import Mattes
from comfyui_motion.parts import matte_names


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A textured clip that slides to the right by a pixel a frame; its first frame as a picture."""
    torch.manual_seed(0)
    texture = F.interpolate(torch.rand(1, 3, 12, 16), size=(72, 96), mode="bicubic").clamp(0, 1)
    frames = torch.cat([texture[..., 8 - i : 88 - i] for i in range(4)])
    write_video(tmp_path / "clip.mp4", frames, 12)
    write_picture(texture[..., 8:88], tmp_path / "source.png")
    return tmp_path


def run(*words: object) -> int:
    return main([str(word) for word in words])


def about(folder: Path) -> dict:
    return json.loads((folder / "motion.json").read_text())


def test_a_clips_own_motion_becomes_passes(media, capsys):
    assert run("passes", media / "clip.mp4", "-o", media / "out", "--first", 10) == 0
    told = about(media / "out")
    assert (told["rate"], told["first"], told["last"]) == ("12/1", 10, 13)
    moved = read_stmap(media / "out").to_pixels(72, 80)[3, 36, 40]
    assert_close(moved, torch.tensor([37.0, 36.0]), atol=0.3, rtol=0)
    assert "motion.json" in capsys.readouterr().out


def test_a_saved_field_becomes_passes_with_frames_and_mattes(media):
    save_field(media / "a.safetensors", MotionField.identity(4, 9, 10))
    given = ["--frames", media / "clip.mp4", "--plate", media / "source.png"]
    given += [
        "--matte",
        f"head={media / 'clip.mp4'}",
        "--v",
        "down",
        "--passes",
        "stmap,plate,mattes",
    ]
    assert run("passes", media / "a.safetensors", "-o", media / "out", *given) == 0
    told = about(media / "out")
    named = {name for channels in told["files"].values() for name in channels}
    assert named == {"plate.R", "plate.G", "plate.B", "stmap.R", "stmap.G", "stmap.A", "head.A"}
    assert (told["width"], told["height"], told["v"]) == (80, 72, "down")
    again = ["passes", media / "out" / "motion.json", "-o", media / "small", "--size", "40x36"]
    assert run(*again, "--passes", "stmap") == 0
    assert (about(media / "small")["width"], about(media / "small")["height"]) == (40, 36)


def test_animate_writes_passes_of_what_it_makes(media, capsys):
    wanted = ["-o", media / "out.mp4", "--passes", media / "passes"]
    assert run("animate", media / "source.png", media / "clip.mp4", *wanted) == 0
    assert (about(media / "passes")["width"], about(media / "passes")["rate"]) == (80, "12/1")
    assert len(read_stmap(media / "passes")) == 4
    assert run("animate", media / "source.png", media / "clip.mp4", *wanted) == 2
    assert "already holds" in capsys.readouterr().err


def test_animate_writes_the_plate_it_is_given(media, capsys):
    wanted = ["animate", media / "source.png", media / "clip.mp4", "-o", media / "out.mp4"]
    wanted += ["--stop", 2, "--plate", media / "source.png"]
    assert run(*wanted, "--passes", media / "passes") == 0
    files = about(media / "passes")["files"]
    told = " ".join([*files, *(channel for channels in files.values() for channel in channels)])
    assert all(name in told for name in ("plate", "stmap"))  # one file of layers, or a file each
    assert run(*wanted) == 2
    assert "--passes" in capsys.readouterr().err


class Halves:
    """Stands for a model that knows parts: the left half, the right half, and one it never sees."""

    has_parts, any_size, size = True, True, 64
    part_names: tuple[str, ...] = ("background", "left half", "right half", "tail")
    device = torch.device("cpu")

    def segment(self, frames: torch.Tensor) -> torch.Tensor:
        left = torch.zeros_like(frames[:, :1])
        left[..., : left.shape[-1] // 2] = 1
        return torch.cat([0 * left, left, 1 - left, 0 * left], dim=1)


def test_each_part_of_the_source_is_a_matte_that_moves_along():
    model: Any = Halves()
    mattes = Mattes.found(model, torch.rand(1, 3, 40, 64))
    assert list(mattes.parts) == ["left_half", "right_half"]
    still = MotionField.identity(2, 40, 64).to_pixels(40, 64)
    field = MotionField.from_pixels(still + torch.tensor([6.0, 0.0]))
    frames, hidden = torch.rand(2, 3, 40, 64), torch.zeros(2, 1, 40, 64)
    moved = mattes.of(Step(frames, hidden, field, None, None, frames))
    left = moved["left_half"]
    assert left.shape == (2, 40, 64) and left[:, :, :25].min() == 1 and left[:, :, 27:].max() == 0
    model.has_parts = False
    assert not Mattes.found(model, frames).of(Step(frames, hidden, field, None, None, frames))
    model.has_parts, model.part_names = True, ()
    assert list(Mattes.found(model, frames).parts) == ["part_01", "part_02"]
    assert matte_names(model, 3) == ["part_00", "part_01", "part_02"]
    model.part_names = ("background", "left half", "right half")
    assert matte_names(model, 3) == ["background", "left_half", "right_half"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.mp4"], "missing.mp4"),
        (["clip.mp4", "--format", "png16"], "reach"),
        (["clip.mp4", "--reference", "next"], "previous"),
        (["source.safetensors"], "source.safetensors"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(media, words, said, capsys):
    assert run("passes", media / words[0], "-o", media / "out", *words[1:]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not list((media / "out").glob("*"))


def test_sizes_are_width_by_height(media):
    with pytest.raises(SystemExit):
        run("passes", media / "clip.mp4", "-o", media / "out", "--size", "wide")
