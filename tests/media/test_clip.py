"""Clips of every kind come in as the frames they hold, at the rate they play."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from comfyui_motion.errors import InputError, MediaError
from comfyui_motion.media.clip import as_rate, read_video

HEIGHT, WIDTH = 48, 80


def flat(number, height=HEIGHT, width=WIDTH):
    """Frame `number` of a clip: one gray, with a red corner top left and a blue one top right."""
    pixels = np.full((height, width, 3), 20 * number + 20, np.uint8)
    pixels[:16, :16], pixels[:16, -16:] = (220, 30, 30), (30, 30, 220)
    return pixels


def write_film(
    path,
    count=6,
    codec="libx264",
    pixels="yuv420p",
    rate: Fraction | int = 25,
    times=None,
    rotation=None,
    tags=(),
    muxer=None,
    **options,
):
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        tick = Fraction(1, 1000) if times else 1 / Fraction(rate)
        stream.codec_context.time_base = tick
        for name, value in tags:
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        full = dict(tags).get("color_range") == 2
        matrix = dict(tags).get("colorspace", 5)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(flat(number), format="rgb24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=matrix, dst_color_range="JPEG" if full else "MPEG"
            )
            frame.pts, frame.time_base = times[number] if times else number, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def gray_of(frames):
    """The gray levels, 0 to 255, in the middle of each frame."""
    return [round(float(frame[:, 24:40, 20:60].mean()) * 255) for frame in frames]


def numbers(clip):
    return [round((gray - 20) / 20) for gray in gray_of(clip.frames())]


def pictures(folder, names):
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(flat(number)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
    ],
)
def test_a_film_reads_as_its_frames(tmp_path, name, codec):
    write_film(tmp_path / name, codec=codec)
    clip = read_video(tmp_path / name)
    assert (clip.width, clip.height, clip.len_hint, clip.has_audio) == (WIDTH, HEIGHT, 6, False)
    assert abs(clip.fps - 25) < 0.01
    frames = clip.frames()
    assert frames.shape == (6, 3, HEIGHT, WIDTH) and frames.dtype == torch.float32
    assert all(abs(gray - (20 * number + 20)) <= 4 for number, gray in enumerate(gray_of(frames)))
    assert frames[0, :, 6, 6].sub(torch.tensor([220, 30, 30]) / 255).abs().max() < 0.1


def test_batches_hold_at_most_size_and_begin_anew_each_time(tmp_path):
    write_film(tmp_path / "a.mp4")
    clip = read_video(tmp_path / "a.mp4")
    assert [len(batch) for batch in clip.batches(4)] == [4, 2]
    assert_close(torch.cat(list(clip.batches(4))), clip.frames())
    assert_close(torch.cat(list(clip)), clip.frames())


@pytest.mark.parametrize("kind", ["film", "folder", "animation"])
def test_start_and_stop_count_frames(tmp_path, kind):
    path = tmp_path / {"film": "a.mp4", "folder": "frames", "animation": "a.gif"}[kind]
    if kind == "film":
        write_film(path)
    elif kind == "folder":
        pictures(path, [f"{number}.png" for number in range(6)])
    else:
        Image.fromarray(flat(0)).save(
            path,
            save_all=True,
            append_images=[Image.fromarray(flat(number)) for number in range(1, 6)],
        )
    assert numbers(read_video(path, start=2, stop=5)) == [2, 3, 4]
    assert read_video(path, start=2, stop=5).len_hint == 3
    assert numbers(read_video(path, start=4)) == [4, 5]
    with pytest.raises(MediaError, match="no frame 6"):
        read_video(path, start=6).frames()
    with pytest.raises(InputError, match="4 to 4"):
        read_video(path, start=4, stop=4)


def test_the_rate_is_exact_and_an_uneven_one_the_median(tmp_path):
    write_film(tmp_path / "a.mp4", rate=Fraction(30000, 1001))
    write_film(tmp_path / "b.mp4", times=[0, 40, 80, 200, 240, 250], rate=Fraction(25))
    assert read_video(tmp_path / "a.mp4").fps == Fraction(30000, 1001)
    uneven = read_video(tmp_path / "b.mp4")
    assert uneven.fps == 25 and numbers(uneven) == [0, 1, 2, 2, 2, 3, 4]


def test_every_frame_once_where_the_film_is_retimed(tmp_path):
    write_film(tmp_path / "b.mp4", times=[0, 40, 80, 200, 240, 250], rate=Fraction(25))
    retimed = read_video(tmp_path / "b.mp4", fps=10, retime=True)
    assert retimed.fps == 10 and numbers(retimed) == [0, 1, 2, 3, 4, 5]


def test_broadcast_rates_are_understood_from_their_decimals():
    assert as_rate(29.97) == as_rate(30 / 1.001) == Fraction(30000, 1001)
    assert (as_rate(23.976), as_rate(25), as_rate(12.5)) == (
        Fraction(24000, 1001),
        25,
        Fraction(25, 2),
    )
    with pytest.raises(InputError, match="above 0"):
        as_rate(0)


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.skipif(
    int(av.__version__.split(".")[0]) < 18, reason="this PyAV cannot write a rotation"
)
def test_a_phones_rotation_is_applied(tmp_path, rotation):
    write_film(tmp_path / "a.mp4", rotation=rotation)
    clip = read_video(tmp_path / "a.mp4")
    upright = np.rot90(flat(0), rotation // 90)  # the matrix turns against the clock
    assert (clip.height, clip.width) == upright.shape[:2]
    assert (
        clip.frames()[0] - torch.from_numpy(upright.copy()).permute(2, 0, 1) / 255
    ).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        ("yuv420p", (("colorspace", 1), ("color_range", 1))),
        ("yuv420p", (("colorspace", 1), ("color_range", 2))),
        ("yuv420p", (("colorspace", 5),)),
        ("yuv420p", ()),  # says nothing, and is small: BT.601
        ("yuv420p10le", (("colorspace", 1),)),
        ("yuv444p", (("colorspace", 1),)),
    ],
)
def test_colours_come_in_by_the_films_own_matrix_and_range(tmp_path, pixels, tags):
    write_film(tmp_path / "a.mp4", pixels=pixels, tags=tags)
    frame = read_video(tmp_path / "a.mp4").frames()[3]
    inside = [
        (slice(4, 12), slice(4, 12)),
        (slice(4, 12), slice(-12, -4)),
        (slice(24, 40), slice(20, 60)),
    ]
    for (rows, columns), wanted in zip(
        inside, [(220, 30, 30), (30, 30, 220), (80, 80, 80)], strict=True
    ):
        assert (
            frame[:, rows, columns].mean((1, 2)) * 255 - torch.tensor(wanted)
        ).abs().max() < 5  # another matrix or range: 12 and more


def test_a_transparent_film_shows_the_background(tmp_path):
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        pixels = np.zeros((64, 64, 4), np.uint8)
        pixels[:, :32] = (255, 0, 0, 255)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = read_video(tmp_path / "a.webm", background=(0, 1, 0)).frames()
    assert len(frames) == 3
    assert (frames[2, :, 32, 16] - torch.tensor([1.0, 0, 0])).abs().max() < 0.05
    assert (frames[2, :, 32, 48] - torch.tensor([0, 1.0, 0])).abs().max() < 0.05


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animated_picture_is_a_clip_of_its_median_rate(tmp_path, suffix):
    path, rest = tmp_path / f"a{suffix}", [Image.fromarray(flat(number)) for number in range(1, 4)]
    Image.fromarray(flat(0)).save(
        path, save_all=True, append_images=rest, duration=[40, 40, 80, 40]
    )
    clip = read_video(path)
    assert (clip.fps, clip.len_hint, clip.width, clip.height) == (25, 5, WIDTH, HEIGHT)
    assert numbers(clip) == [0, 1, 2, 2, 3]


def test_a_still_picture_is_a_clip_of_one_frame(tmp_path):
    Image.fromarray(flat(3)).save(tmp_path / "a.png")
    clip = read_video(tmp_path / "a.png", fps=12)
    assert (clip.len_hint, clip.fps) == (1, 12) and numbers(clip) == [3]


def test_a_folder_reads_in_natural_order_whatever_its_kinds(tmp_path):
    folder = pictures(tmp_path / "frames", ["f1.png", "f2.bmp", "F9.png", "f10.tif"])
    (folder / "notes.txt").write_text("not a frame")
    (folder / "._f1.png").write_bytes(b"what some systems leave behind")
    clip = read_video(folder, fps=Fraction(24000, 1001))
    assert (clip.fps, clip.len_hint) == (Fraction(24000, 1001), 4) and numbers(clip) == [0, 1, 2, 3]
    assert read_video(folder).fps == 25


def test_a_pattern_and_a_glob_pick_their_files(tmp_path):
    folder = pictures(tmp_path / "frames", ["0008.png", "0009.png", "0010.png", "cover.png"])
    assert numbers(read_video(folder / "%04d.png")) == [0, 1, 2]
    assert numbers(read_video(folder / "00[01]*.png")) == [0, 1, 2]
    assert numbers(read_video(folder / "c*.png")) == [3]


def test_a_frame_of_another_size_is_fitted_and_named(tmp_path, caplog):
    folder = pictures(tmp_path / "frames", ["1.png", "2.png", "4.png"])
    Image.fromarray(flat(2, 60, 60)).save(folder / "3.png")
    frames = read_video(folder).frames()
    assert frames.shape == (4, 3, HEIGHT, WIDTH)
    assert not frames[2, :, :, :16].any() and gray_of(frames)[2] == 60
    assert "frame 2 was of another size" in caplog.text


def test_what_is_no_clip_is_one_sentence(tmp_path):
    (tmp_path / "text.mp4").write_text("<html>quota exceeded</html>" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    write_film(tmp_path / "whole.mp4")
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        container.mux(stream.encode(silence(4096)))
        container.mux(stream.encode())
    said = {
        "text.mp4": "a web page",
        "empty.mp4": "empty",
        "cut.mp4": "no clip, or one that is damaged",
        "none.mp4": "does not exist",
        "folder": "an empty folder",
        "%03d.png": "no pictures",
        "sound.m4a": "only sound",
    }
    for name, words in said.items():
        with pytest.raises(MediaError, match=words) as caught:
            read_video(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def silence(samples):
    frame = av.AudioFrame.from_ndarray(
        np.zeros((2, samples), np.float32), format="fltp", layout="stereo"
    )
    frame.sample_rate = 44100
    return frame


def damaged(path, kind):
    """A film of 12 frames, all of them key frames, of which some in the middle are zeros, or all
    from there on are gone.
    """
    write_film(path, count=12, muxer={"movflags": "+faststart"}, g="1", bf="0")
    data = bytearray(path.read_bytes())
    frames = data.index(b"mdat") + 4
    middle = slice(frames + (len(data) - frames) // 2, frames + (len(data) - frames) * 3 // 4)
    data[middle] = bytes(len(data[middle]))
    path.write_bytes(data[: middle.start] if kind == "cut" else data)


def test_damage_in_the_middle_is_held_over_and_named(tmp_path, caplog):
    damaged(tmp_path / "a.mp4", "overwritten")
    found = numbers(read_video(tmp_path / "a.mp4"))
    assert len(found) == 12 and found[:3] == [0, 1, 2] and found[-3:] == [9, 10, 11]
    held = re.search(r"frames (\d+)-(\d+) could not be read", caplog.text)
    assert held and len(set(found[int(held[1]) - 1 : int(held[2]) + 1])) == 1


@pytest.mark.skipif(
    int(av.__version__.split(".")[0]) < 17, reason="this PyAV does not tell where an index leads"
)
def test_a_film_that_was_cut_off_is_told_at_opening_and_what_there_is_is_used(tmp_path, caplog):
    damaged(tmp_path / "a.mp4", "cut")
    clip = read_video(tmp_path / "a.mp4")
    assert f"its index tells of 12 frames, and the file holds {clip.len_hint}" in caplog.text
    assert numbers(clip) == list(range(clip.len_hint)) and 0 < clip.len_hint < 12


def test_a_tag_that_is_not_unicode_does_no_harm(tmp_path):
    write_film(tmp_path / "a.avi", codec="mpeg4")
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert len(read_video(tmp_path / "a.avi").frames()) == 6
