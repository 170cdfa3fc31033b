"""Fields leave and come back exactly; what is no field is said to be none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

from comfyui_motion import InputError, MediaError, MotionField, load_field, save_field
from comfyui_motion.field import PictureSize, identity_grid


@pytest.fixture
def field() -> MotionField:
    torch.manual_seed(0)
    grid = identity_grid(9, 12) + 0.2 * torch.randn(3, 9, 12, 2)
    occlusion = (torch.rand(3, 1, 4, 6), torch.rand(3, 1, 9, 12))
    return MotionField(grid, occlusion, torch.rand(3, 5, 9, 12).softmax(1), align_corners=False)


def test_a_field_comes_back_to_the_bit(tmp_path, field):
    save_field(tmp_path / "a.safetensors", field)
    back = load_field(tmp_path / "a.safetensors")
    assert back.align_corners == field.align_corners
    for name, value in field.tensors().items():
        theirs = getattr(back, name)
        both = zip(value, theirs, strict=True) if isinstance(value, tuple) else [(value, theirs)]
        assert all(torch.equal(mine, other) for mine, other in both)


def test_half_the_size_keeps_displacements_to_a_thousandth(tmp_path, field):
    for name, half in (("a", False), ("b", True)):
        save_field(tmp_path / f"{name}.safetensors", field, half=half)
    whole, small = ((tmp_path / f"{n}.safetensors").stat().st_size for n in "ab")
    assert small < 0.65 * whole
    still = identity_grid(9, 12)
    assert_close(
        load_field(tmp_path / "b.safetensors").grid - still,
        field.grid - still,
        rtol=1e-3,
        atol=1e-6,
    )


def test_the_file_says_what_its_numbers_mean(tmp_path, field):
    field = replace(field, picture=PictureSize(90, 120))
    save_field(tmp_path / "a.safetensors", field)
    assert load_field(tmp_path / "a.safetensors").picture_size == (90, 120)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        about = file.metadata()
    assert (about["frames"], about["height"], about["width"]) == ("3", "9", "12")
    assert "centre of the source's first pixel" in about["coordinates"]


def test_what_is_no_field_is_refused_with_what_it_is(tmp_path, field):
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="safetensors"):
        save_field(tmp_path / "a.npz", field)
    with pytest.raises(MediaError, match="does not exist"):
        load_field(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(MediaError, match="no motion field"):
        load_field(path)
    save_field(path, field)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MediaError, match="no whole"):
        load_field(path)
    about = {"format": "comfyui_motion.field", "version": "1"}
    save_file({"grid": torch.zeros(1, 2, 2, 2)}, path, about)
    with pytest.raises(MediaError, match="changed by something else"):
        load_field(path)
    save_file({"occlusion.0": torch.zeros(1, 1, 2, 2)}, path, about)
    with pytest.raises(MediaError, match="lacks"):
        load_field(path)
    save_file({"grid": torch.zeros(1, 2, 2, 2)}, path, about | {"version": "2"})
    with pytest.raises(MediaError, match="version 2"):
        load_field(path)


def test_a_folder_that_is_not_there_is_said_so(tmp_path, field):
    with pytest.raises(MediaError, match="does not exist"):
        save_field(tmp_path / "nowhere" / "a.safetensors", field)
