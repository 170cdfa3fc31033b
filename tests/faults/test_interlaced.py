"""Interlaced films: two half pictures of two moments a frame, and no combs."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from comfyui_motion.media.video import read_video

WIDTH, HEIGHT, FRAMES = 128, 96, 8
KINDS = {
    "d.ts": ("mpeg2video", "yuv420p", {"flags": "+ildct+ilme", "b": "4000000"}),
    "d.mp4": ("libx264", "yuv420p", {"x264-params": "interlaced=1:tff=1", "crf": "5"}),
    "d.mov": ("prores_ks", "yuv422p10le", {"flags": "+ildct"}),
}


def shown(moment):
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    left = int(8 + 8 * moment)
    pixels[20:70, left : left + 24] = (220, 180, 60)
    return pixels


def film(path, moves=True):
    codec, pixels, options = KINDS[path.name]
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for number in range(FRAMES):
            woven = shown(number * moves)
            woven[1::2] = shown((number + 0.5) * moves)[1::2]
            frame = av.VideoFrame.from_ndarray(woven, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def combs(frames):
    """How many pixels are far from those above and below them."""
    between = (frames[..., :-2, :] + frames[..., 2:, :]) / 2
    return float(((frames[..., 1:-1, :] - between).abs() > 0.15).float().mean())


@pytest.mark.parametrize("name", KINDS)
def test_an_interlaced_film_shows_no_combs(tmp_path, caplog, name):
    path = film(tmp_path / name)
    frames = read_video(path).frames()
    assert len(frames) == FRAMES and combs(frames) < 0.005
    assert "is interlaced" in caplog.text
    left = [int((frame[0, 45] > 0.5).float().argmax()) for frame in frames]
    wanted = [8 + 8 * number for number in range(FRAMES)]
    assert max(abs(a - b) for a, b in zip(left, wanted, strict=True)) <= 4  # half a frame


@pytest.mark.parametrize("name", KINDS)
def test_what_stands_still_in_one_keeps_every_line(tmp_path, name):
    frames = read_video(film(tmp_path / name, moves=False)).frames()
    wanted = np.array(shown(0), np.float32) / 255
    assert np.abs(frames[FRAMES // 2].permute(1, 2, 0).numpy() - wanted).mean() < 0.02
    assert float((frames[1:-1] - frames[3]).abs().max()) < 0.1


def test_a_part_of_one_begins_where_it_is_asked_to(tmp_path):
    path = film(tmp_path / "d.mp4")
    assert (read_video(path, 3, 6).frames() - read_video(path).frames()[3:6]).abs().max() < 1e-6


def test_a_film_that_is_whole_is_not_touched(request, caplog):
    whole = request.getfixturevalue("film")("d.mp4", 6)
    assert len(read_video(whole).frames()) == 6
    assert "interlaced" not in caplog.text
