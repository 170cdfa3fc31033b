"""Pictures of every kind come in as 1 3 H W in 0..1, and go out as they were."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.testing import assert_close

from comfyui_motion.errors import InputError, MediaError
from comfyui_motion.media.picture import (
    read_alpha,
    read_picture,
    to_rgb,
    write_picture,
)


@pytest.fixture
def gradient():
    """H W 3 of uint8, no symmetry in it."""
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, (x + y) * 3], -1).astype(np.uint8)


def unit(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def test_a_picture_reads_as_its_pixels(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.png")
    assert_close(read_picture(tmp_path / "a.png"), unit(gradient))
    assert read_alpha(tmp_path / "a.png") is None


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg", ".webp"])
def test_what_is_written_reads_back(tmp_path, gradient, suffix):
    write_picture(unit(gradient), tmp_path / f"a{suffix}")
    lossy = suffix in (".jpg", ".webp")
    assert_close(
        read_picture(tmp_path / f"a{suffix}"), unit(gradient), atol=0.06 if lossy else 0, rtol=0
    )
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, gradient, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        upright = np.array(ImageOps.exif_transpose(image))
    assert_close(read_picture(tmp_path / "a.png"), unit(upright))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_to_sixteen_bits_too(tmp_path, gradient, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient).save(tmp_path / "8.png", exif=exif)
    block = (tmp_path / "8.png").read_bytes()
    block = block[
        (at := block.index(b"eXIf") - 4) : at + 12 + int.from_bytes(block[at : at + 4], "big")
    ]
    cv2.imwrite(str(tmp_path / "deep.png"), gradient[..., ::-1].astype(np.uint16) * 257)
    deep = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").write_bytes(deep[:33] + block + deep[33:])  # behind the header
    assert_close(read_picture(tmp_path / "deep.png"), read_picture(tmp_path / "8.png"))


def test_alpha_lets_the_background_through(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 255, 51  # red, a fifth opaque
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert_close(read_picture(tmp_path / "a.png")[0, :, 0, 0], torch.tensor([1, 0.8, 0.8]))
    assert_close(
        read_picture(tmp_path / "a.png", background=(0, 0, 1))[0, :, 0, 0],
        torch.tensor([0.2, 0, 0.8]),
    )
    assert_close(read_alpha(tmp_path / "a.png"), torch.full((1, 1, 4, 4), 0.2))


def test_a_transparent_palette_entry_is_transparent(tmp_path):
    image = Image.new("P", (4, 2), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    picture = read_picture(tmp_path / "a.png", background=(0, 0, 1))
    assert picture[0, :, 0, 0].tolist() == [0, 0, 1] and picture[0, :, 1, 3].tolist() == [0, 1, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode)
    image.save(tmp_path / "a.tif" if mode in ("CMYK", "YCbCr") else tmp_path / "a.png")
    assert_close(read_picture(next(tmp_path.iterdir())), torch.ones(1, 3, 4, 6))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_stay_sixteen_bits(tmp_path, channels, suffix):
    picture = (torch.arange(30 * channels).reshape(1, channels, 5, 6) * 257 + 3).float() / 65535
    picture[:, 3:] = 1
    write_picture(picture, tmp_path / f"a{suffix}", bits=16)
    assert_close(read_picture(tmp_path / f"a{suffix}"), to_rgb(picture), atol=1e-6, rtol=0)


def test_an_animated_picture_gives_its_first_frame(tmp_path):
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert_close(read_picture(tmp_path / "a.gif")[0, :, 4, 4], torch.tensor([1.0, 0, 0]))


def test_tensors_of_one_to_four_channels_become_rgb():
    assert_close(to_rgb(torch.full((2, 1, 3, 3), 0.5)), torch.full((2, 3, 3, 3), 0.5))
    assert_close(to_rgb(torch.tensor([0.5, 0.5]).view(1, 2, 1, 1)), torch.full((1, 3, 1, 1), 0.75))
    assert_close(
        to_rgb(torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1)).flatten(),
        torch.tensor([1, 0, 0.2]),
    )
    assert_close(
        to_rgb(
            torch.tensor([65535, 0, 13107, 0], dtype=torch.uint16).view(1, 4, 1, 1), (0, 1, 0)
        ).flatten(),
        torch.tensor([0.0, 1, 0]),
    )


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 5, 4, 4), (1, 3, 0, 4), (4,)])
def test_other_shapes_are_refused_with_what_was_found(shape):
    with pytest.raises(InputError, match=r"B C H W.*\("):
        to_rgb(torch.zeros(shape))


def test_what_is_no_picture_is_one_sentence(tmp_path):
    (tmp_path / "text.png").write_text("not a picture, a page of text " * 20)
    (tmp_path / "empty.png").touch()
    Image.effect_noise((64, 64), 80).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    said = {
        "text.png": "a text file",
        "empty.png": "empty",
        "cut.jpg": "damaged or unfinished",
        "none.png": "does not exist",
        "": "is a folder",
    }
    for name, words in said.items():
        with pytest.raises(MediaError, match=words) as caught:
            read_picture(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_picture_and_nothing_else(tmp_path, gradient, monkeypatch):
    write_picture(unit(gradient), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def half(image, path, **_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(KeyboardInterrupt):
        write_picture(torch.zeros(3, 8, 8), tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"] and (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize(("name", "bits"), [("a.mp4", 8), ("a", 8), ("a.jpg", 16), ("a.png", 12)])
def test_pictures_that_cannot_be_are_refused(tmp_path, name, bits):
    with pytest.raises(InputError, match=name):
        write_picture(torch.zeros(3, 8, 8), tmp_path / name, bits=bits)
