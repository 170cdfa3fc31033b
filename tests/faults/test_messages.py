"""Messages name the thing in the user's words, and what to do."""

from __future__ import annotations

import pytest
from PIL import Image

import comfyui_motion as motion
from comfyui_motion.cli import main
from comfyui_motion.errors import CheckpointError, MediaError
from comfyui_motion.media.picture import read_picture
from comfyui_motion.media.video import read_video


def said(read, path):
    with pytest.raises(MediaError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["d.mp4", "d.webm", "d.mov", "d.mkv"])
def test_picture_and_clip_swapped(film, tmp_path, capsys, name):
    Image.new("RGB", (32, 32)).save(tmp_path / "p.png")
    driver = film(name, 3)
    assert (
        main(["animate", str(driver), str(tmp_path / "p.png"), "-o", str(tmp_path / "o.mp4")]) == 2
    )
    assert "is a film" in (told := capsys.readouterr().err) and "swapped" in told


@pytest.mark.parametrize("read", [read_picture, read_video])
@pytest.mark.parametrize(
    "address", ["https://example.org/a.mp4", "http://a/b.png", "ftp://a/b.gif"]
)
def test_an_address_is_no_file(read, address):
    assert address in said(read, address) and "save it" in said(read, address)


def test_a_folder_with_one_film_names_the_film(film, tmp_path):
    film("d.mp4", 3)
    assert "name the file itself" in said(read_video, tmp_path) and "d.mp4" in said(
        read_video, tmp_path
    )


def test_a_coding_without_a_decoder_is_not_called_damage(film):
    path = film("d.mp4", 3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))
    told = said(read_video, path)
    assert "no decoder" in told and "damaged" not in told


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "d.mp4")
    assert "a pipe" in said(read_video, tmp_path / "d.mp4")


def test_a_name_too_long_and_one_with_a_zero_in_it_are_sentences(tmp_path):
    for name in ("x" * 400 + ".mp4", "a\0b.mp4"):
        for read in (read_picture, read_video):
            assert "cannot be read" in said(read, tmp_path / name)


@pytest.mark.parametrize("read", [read_picture, read_video])
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"PK\3\4" + bytes(60), "a zip archive"),
        (b"\x1f\x8b\x08" + bytes(60), "a gzip archive"),
        (b"\x40\0\0\0\0\0\0\0{}" + b" " * 62, "a model's weights"),
        (b"hello", "a text file"),
    ],
)
def test_what_is_no_picture_and_no_clip_is_called_what_it_is(tmp_path, read, content, named):
    (tmp_path / "d.mp4").write_bytes(content)
    assert named in said(read, tmp_path / "d.mp4")


def test_a_picture_is_no_checkpoint(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "p.png")
    with pytest.raises(CheckpointError, match=r"p\.png is a picture"):
        motion.load(tmp_path / "p.png")


def test_a_folder_of_something_else_and_an_empty_one(tmp_path):
    assert "an empty folder" in said(read_video, tmp_path)
    (tmp_path / "a.txt").write_text("x")
    assert "a.txt" in (told := said(read_video, tmp_path)) and "a.txt itself" not in told


def test_a_box_that_begins_beyond_the_edge_is_no_option(film, tmp_path, capsys):
    Image.new("RGB", (32, 32)).save(tmp_path / "p.png")
    words = [
        "animate",
        str(tmp_path / "p.png"),
        str(film("d.mp4", 3)),
        "-o",
        str(tmp_path / "o.mp4"),
    ]
    assert main([*words, "--subject", "-9,-9,-5,-5"]) == 2
    assert "holds nothing of a picture" in capsys.readouterr().err
