"""Damage in the middle: what can be read is used, and what could not is named."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from comfyui_motion.errors import MediaError
from comfyui_motion.media.video import VideoWriter, read_video


@pytest.mark.parametrize("name", ["d.mp4", "d.mov", "d.mkv"])
def test_broken_frames_are_held_over_and_named(film, overwritten, numbers, caplog, name):
    path = film(
        name, 20, muxer={} if name == "d.mkv" else {"movflags": "+faststart"}, g="1", bf="0"
    )
    overwritten(path, 8, 9)
    found = numbers(read_video(path).frames())
    assert len(found) == 20 and found[:8] == list(range(8)) and found[10:] == list(range(10, 20))
    assert re.search(r"frames? \d.*(could not be read|damaged)", caplog.text)


def test_a_missing_key_frame_at_the_start_is_held_backwards(film, overwritten, numbers, caplog):
    path = film("d.mp4", 24, muxer={"movflags": "+faststart"}, g="12", bf="0", sc_threshold="0")
    overwritten(path, 0, 0)
    found = numbers(read_video(path).frames())
    assert len(found) == 24 and found[12:] == list(range(12, 24))
    assert "frame" in caplog.text


@pytest.mark.parametrize("name", ["d.mp4", "d.mkv", "d.webm"])
@pytest.mark.parametrize("kept", [0.5, 0.8])
def test_a_film_that_was_cut_off_gives_what_it_has(film, tmp_path, numbers, caplog, name, kept):
    path = film(
        name, 24, muxer={"movflags": "+faststart"} if name == "d.mp4" else {}, g="5", bf="0"
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    found = numbers(read_video(path).frames())
    assert 0 < len(found) <= 24 and found == list(range(len(found)))


def test_a_cut_mp4_is_told_of_before_anything_is_done(film, caplog):
    path = film("d.mp4", 40, muxer={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    read_video(path)
    assert "cut off" in caplog.text


@pytest.mark.parametrize("kept", [0.5, 0.8, 0.9, 0.95])
def test_a_film_with_its_index_missing_says_what_to_do(film, kept):
    path = film("d.mp4", 12)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(MediaError, match="get it again"):
        read_video(path)


def test_nothing_that_can_be_read_is_one_sentence(film, overwritten):
    path = film("d.mp4", 6, muxer={"movflags": "+faststart"})
    overwritten(path, 0, 5)
    with pytest.raises(MediaError, match="damaged") as caught:
        read_video(path).frames()
    assert "\n" not in str(caught.value)


def test_a_film_whose_size_changes_is_fitted_into_the_first(tmp_path, caplog):
    path = tmp_path / "d.m4v"  # a bare stream: one film behind another
    for size in ((64, 48), (32, 32)):
        encoder = av.CodecContext.create("mpeg4", "w")
        encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
        with path.open("ab") as file:
            for number in range(4):
                frame = av.VideoFrame.from_ndarray(
                    np.full((size[1], size[0], 3), 40 + 40 * number, np.uint8), format="rgb24"
                )
                frame.pts, frame.time_base = number, Fraction(1, 25)
                for packet in encoder.encode(frame):
                    file.write(bytes(packet))
            for packet in encoder.encode(None):
                file.write(bytes(packet))
    frames = read_video(path).frames()
    assert frames.shape[1:] == (3, 48, 64) and len(frames) == 8
    assert "of another size" in caplog.text and not frames[-1, :, :, :6].any()


def test_a_picture_that_is_no_picture_is_held_over_in_a_folder(tmp_path, caplog):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (32, 32), (40 * number, 90, 90)).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    (folder / "0.png").write_bytes(b"not a picture")
    reds = [round(float(frame[0, 5, 5]) * 255) for frame in read_video(folder).frames()]
    assert reds == [40, 40, 40, 120, 160, 200]
    assert "frame 0 could not be read, and the first that could" in caplog.text
    assert "frame 2 could not be read, and the picture before" in caplog.text


@pytest.mark.parametrize("target", ["o.mp4", "o.webm", "o.gif", "frames/"])
def test_a_run_that_must_stop_keeps_what_is_finished(tmp_path, caplog, target):
    frames = torch.rand(8, 3, 32, 48)
    with pytest.raises(ValueError), VideoWriter(f"{tmp_path}/{target}", 25, keep=True) as writer:
        for batch in frames.split(1):
            writer.write(batch)
        raise ValueError
    kept = next(tmp_path.glob("*unfinished*"))
    found = len(read_video(kept).frames())
    assert 0 < found <= 8 and kept.name in caplog.text and len(list(tmp_path.iterdir())) == 1
    assert f"{found} frames" in caplog.text or target == "o.gif"


@pytest.mark.parametrize("name", ["d.webm", "d.mkv", "d.avi"])
def test_a_head_that_promises_more_than_there_is_is_told_of_at_opening(film, caplog, name):
    path = film(name, 30)
    read_video(path)
    assert not caplog.text
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    clip = read_video(path)
    assert "is cut off" in caplog.text
    assert 0 < len(clip.frames()) < 30


@pytest.mark.parametrize(
    ("there", "told"), [((0, 1, 2, 5, 6), True), ((0, 2, 4, 6), False), ((3, 4, 5), False)]
)
def test_numbers_that_a_sequence_lacks_are_told_of(tmp_path, caplog, there, told):
    for number in there:
        Image.fromarray(numbered(number)).save(tmp_path / f"s.{number:04d}.png")
    assert len(read_video(tmp_path / "s.%04d.png").frames()) == len(there)
    assert ("2 numbers are missing, the first after s.0002.png" in caplog.text) == told


@pytest.mark.parametrize("name", ["d.ts", "d.ivf", "d.mxf"])
def test_less_than_was_promised_is_told_of_at_the_end_at_the_latest(film, tmp_path, caplog, name):
    codec = {"d.ts": "libx264", "d.ivf": "libvpx-vp9", "d.mxf": "mpeg2video"}[name]
    path = film(name, 40, codec=codec)
    read_video(path).frames()
    assert not caplog.text
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10 + 7])
    assert 0 < len(read_video(path).frames()) <= 40
    assert re.search("cut off|can be read|damaged", caplog.text)


@pytest.mark.parametrize("name", ["d.mkv", "d.webm"])
def test_a_hole_that_ends_a_film_early_is_told_of(film, numbers, caplog, name):
    path = film(name, 20, g="5", bf="0")
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    start, size = places[12]
    data[start : start + size] = bytes((7 * i + 13) & 255 for i in range(size))
    path.write_bytes(data)
    assert numbers(read_video(path).frames()) == list(range(12))
    assert "nothing after frame 11 can be read, of 8 more" in caplog.text


def test_pictures_without_a_moment_are_counted_when_they_are_lost(film, caplog):
    path = film("d.h264", 30, codec="libx264", g="10", bf="0")
    data = path.read_bytes()
    second = data.index(b"\x00\x00\x01\x41")  # the first that builds on another
    path.write_bytes(data[second:])
    assert 0 < len(read_video(path).frames()) < 30
    assert re.search("pictures? could not be read|damaged", caplog.text)


def numbered(number):
    pixels = np.full((48, 64, 3), 30 + 8 * number, np.uint8)
    pixels[:16, :16] = (230, 40, 40)
    return pixels


def test_an_animated_webp_that_was_cut_off_moves_as_far_as_it_goes(tmp_path, caplog, numbers):
    frames = [Image.fromarray(numbered(number)) for number in range(10)]
    path = tmp_path / "d.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)
    path.write_bytes(path.read_bytes()[:-60])
    found = numbers(read_video(path).frames())
    assert found == list(range(len(found))) and len(found) >= 8
    assert "is cut off" in caplog.text


def grainy(number, width, height):
    return np.random.default_rng(number).integers(0, 60, (height, width, 3), np.uint8)


def wiped(path, first, last):
    """Bytes of a film from one share of it to another, by others."""
    data = bytearray(path.read_bytes())
    begin, end = int(len(data) * first), int(len(data) * last)
    data[begin:end] = np.random.default_rng(1).integers(0, 256, end - begin, np.uint8).tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize("sound", [None, "the container's"])
@pytest.mark.parametrize(
    ("name", "codec", "heard", "options"),
    [
        ("d.mkv", "libx264", "libopus", {"bf": "0"}),
        ("d.mkv", "libx264", "libopus", {"bf": "2"}),
        ("d.flv", "libx264", "aac", {"bf": "0"}),
        ("d.webm", "libvpx", None, {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_a_stretch_that_is_lost_in_the_middle_is_named(
    film, caplog, monkeypatch, name, codec, heard, options, sound
):
    monkeypatch.setitem(film.__globals__, "numbered", grainy)  # more of a picture than of sound
    heard = sound and heard
    path = film(name, 60, codec=codec, sound=heard, size=(128, 96), g="10", **options)
    read_video(path).frames()
    assert not caplog.text
    wiped(path, 0.4, 0.6)
    assert len(read_video(path).frames()) == 60
    assert re.search(r"frames \d+-\d+.* could not be read, and the picture before", caplog.text)


@pytest.mark.parametrize("sound", [None, "the container's"])
@pytest.mark.parametrize("name", ["d.mkv", "d.flv", "d.webm"])
def test_a_picture_that_stood_still_is_no_loss(film, caplog, name, sound):
    times = [40 * i + 2000 * (i // 20) for i in range(60)]
    heard = sound and {"d.flv": "aac"}.get(name, "libopus")
    codec = {"d.webm": "libvpx-vp9"}.get(name, "libx264")
    path = film(name, 60, times=times, sound=heard, codec=codec)
    assert len(read_video(path).frames()) > 150 and not caplog.text
