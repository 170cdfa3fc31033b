"""Messages name the thing in the user's words, and what to do."""

from __future__ import annotations

import pytest
from PIL import Image

from comfyui_motion.cli import main
from comfyui_motion.errors import MediaError
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
