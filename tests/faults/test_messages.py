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


RAW_TIFF = (
    b"II*\0\x08\0\0\0\x01\0" + (50706).to_bytes(2, "little") + b"\1\0\4\0\0\0\1\4\0\0" + bytes(40)
)


@pytest.mark.parametrize(
    ("name", "content", "named", "cure"),
    [
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing", "export it"),
        ("a.svg", b'<?xml version="1.0"?>\n<svg/>', "an SVG drawing", "export it"),
        ("a.pdf", b"%PDF-1.7\n" + bytes(90), "a PDF document", "export it"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript drawing", "export it"),
        ("a.psd", b"8BPS\0\1" + bytes(90), "a Photoshop picture", "save it"),
        ("a.jxl", b"\xff\x0a" + bytes(90), "a JPEG XL picture", "save it"),
        ("a.jpg", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(90), "a JPEG XL picture", "save it"),
        ("a.exr", b"v/1\1\2\0\0\0" + bytes(90), "an OpenEXR picture", "save it"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx " + bytes(90), "raw picture", "develop it"),
        ("a.nef", b"MM\0*\0\0\0\x08" + bytes(90), "raw picture", "develop it"),
        ("a.tif", RAW_TIFF, "raw picture", "develop it"),
        ("a.m3u8", b"#EXTM3U\n#EXTINF:10,\nseg0.ts\n", "a playlist", "save the film itself"),
        ("a.mpd", b'<?xml version="1.0"?><MPD/>', "a playlist", "save the film itself"),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", "subtitles", "name the film"),
        ("a.url", b"[InternetShortcut]\nURL=https://example.org\n", "a link", "save what"),
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1" + bytes(90), "a HEIC picture", "save it"),
    ],
)
def test_pictures_and_documents_that_are_not_opened_are_named(tmp_path, name, content, named, cure):
    (tmp_path / name).write_bytes(content)
    for read in (read_picture, read_video):
        told = said(read, tmp_path / name)
        assert named in told and cure in told and "web page" not in told
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / name).write_bytes(content)
    if not name.endswith((".jpg", ".tif")):  # those are read, one by one
        assert named in said(read_video, folder)


def test_a_folder_of_folders_and_sound_alone_are_named(tmp_path):
    (tmp_path / "shot" / "frames").mkdir(parents=True)
    assert "folders alone (frames)" in said(read_video, tmp_path / "shot")
    (tmp_path / "a.mp3").write_bytes(b"ID3\4" + bytes(90))
    assert "only sound" in said(read_picture, tmp_path / "a.mp3")


def test_an_address_is_no_checkpoint():
    with pytest.raises(CheckpointError, match="is an address"):
        motion.load("https://example.org/vox.pth")


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
