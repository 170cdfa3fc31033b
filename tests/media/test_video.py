"""Frames go out to every kind of file and read back: same count, size, rate and colours, with
sound; whole or not at all.
"""

from __future__ import annotations

import os
import struct
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from comfyui_motion.errors import InputError, MediaError
from comfyui_motion.media import video
from comfyui_motion.media.video import (
    VideoWriter,
    prefetch,
    read_video,
    write_video,
)

FILMS = [
    ("a.mp4", None),
    ("a.m4v", None),
    ("a.mov", None),
    ("a.mov", "prores"),
    ("a.mov", "prores-422"),
    ("a.mkv", None),
    ("a.mkv", "vp9"),
    ("a.webm", None),
]
RATE = Fraction(30000, 1001)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path):
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


def clip(count=6, height=48, width=64):
    """A square that moves over a coloured gradient. B 3 H W"""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    frames = torch.stack([x, y, 0.5 + 0 * x]).repeat(count, 1, 1, 1)
    for number in range(count):
        frames[number, :, 16:32, 4 * number : 4 * number + 16] = torch.tensor([0.9, 0.2, 0.1])[
            :, None, None
        ]
    return frames


def write_sound(path, seconds=1.0, codec="aac", rate=44100, frames=None):
    """A tone of 440 Hz that doubles to 880 Hz after half the time, beside a picture if `frames`
    says how many at 10 per second.
    """
    with av.open(str(path), "w") as container:
        sound = container.add_stream(codec, rate=rate, layout="stereo")
        if frames:
            picture = container.add_stream("libx264", rate=10)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            for number in range(frames):
                image = av.VideoFrame(64, 48, "yuv420p")
                image.pts, image.time_base = number, Fraction(1, 10)
                container.mux(picture.encode(image))
            container.mux(picture.encode())
        time = np.arange(round(seconds * rate)) / rate
        tone = np.sin(2 * np.pi * np.where(time < seconds / 2, 440, 880) * time).astype(np.float32)
        for start in range(0, len(tone), 960):
            part = np.ascontiguousarray(np.stack([tone, tone])[:, start : start + 960])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode())


def sound_of(path):
    """Codec, when it ends in seconds, and the tone's pitch in its first and last quarter."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        end = max(frame.time + frame.samples / frame.sample_rate for frame in frames)
        samples = np.concatenate([frame.to_ndarray()[0].reshape(-1) for frame in frames])
        samples = (
            samples[::2]
            if not frames[0].format.is_planar and frames[0].layout.nb_channels == 2
            else samples
        )
        quarter = len(samples) // 4

        def pitch(part):
            return (
                np.abs(np.fft.rfft(part * np.hanning(len(part)))).argmax()
                * frames[0].sample_rate
                / len(part)
            )

        return (
            stream.codec_context.codec.canonical_name,
            end,
            pitch(samples[:quarter]),
            pitch(samples[-quarter:]),
        )


@pytest.mark.parametrize(("name", "codec"), FILMS)
def test_a_film_reads_back_as_it_was_written(tmp_path, name, codec):
    assert write_video(tmp_path / name, clip(), RATE, codec=codec) == 6
    back = read_video(tmp_path / name)
    assert (back.width, back.height, back.fps, back.has_audio) == (64, 48, RATE, False)
    frames = back.frames()
    assert len(frames) == 6 and (frames - clip()).abs().mean() < 0.015


@pytest.mark.parametrize(("name", "codec"), FILMS)
def test_colours_survive_and_are_tagged_bt709_video_range(tmp_path, name, codec):
    colours = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0.8, 0.5, 0.35]]
    )
    frames = colours[:, :, None, None].expand(6, 3, 32, 32)
    write_video(tmp_path / name, frames, 25, codec=codec)
    assert_close(read_video(tmp_path / name).frames().mean((2, 3)), colours, atol=3 / 255, rtol=0)
    with av.open(str(tmp_path / name)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1 or (context.name, context.color_range) == (
            "prores",
            0,
        )  # older decoders say nothing of ProRes


def test_an_mp4_is_one_that_browsers_play(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.profile, context.pix_fmt) == ("h264", "High", "yuv420p")
    data, order, at = (tmp_path / "a.mp4").read_bytes(), [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        order.append(kind)
        at += size
    assert order.index(b"moov") < order.index(b"mdat")


def test_odd_sizes_are_padded_with_the_edge_not_scaled(tmp_path):
    frames = torch.zeros(2, 3, 33, 47)
    frames[..., -3:] = 1
    write_video(tmp_path / "a.mp4", frames, 25, crf=4)
    back = read_video(tmp_path / "a.mp4").frames()
    assert back.shape == (2, 3, 34, 48)
    assert (back[:, :, :33, :47] - frames).abs().max() < 0.06 and back[..., -1].min() > 0.94
    write_video(tmp_path / "a.mov", frames, 25, codec="prores")
    assert read_video(tmp_path / "a.mov").frames().shape == frames.shape


def test_prores_keeps_more_than_eight_bits(tmp_path):
    ramp = torch.linspace(0.4, 0.45, 256).expand(1, 3, 32, 256)
    write_video(tmp_path / "a.mov", ramp, 25, codec="prores")
    with av.open(str(tmp_path / "a.mov")) as container:
        frame = next(container.decode(video=0)).reformat(format="gray16le").to_ndarray()
    assert len(np.unique(frame[16])) > 30  # eight bits hold 13 levels there


def test_crf_trades_size_for_quality(tmp_path):
    frames = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for crf in (5, 40):
        write_video(tmp_path / f"{crf}.mp4", frames, 25, crf=crf)
    assert (tmp_path / "5.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animated_picture_reads_back_and_loops_for_ever(tmp_path, suffix):
    write_video(tmp_path / f"a{suffix}", clip(), 20)
    back = read_video(tmp_path / f"a{suffix}")
    assert back.fps == 20 and (back.frames() - clip()).abs().mean() < 0.03
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["loop"] == 0


@pytest.mark.parametrize("target", ["frames/", "frames/%05d.png", "frames"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_sequence_reads_back_to_the_last_bit(tmp_path, target, bits):
    write_video(
        f"{tmp_path}/{target}", clip(), 25, bits=bits, codec="png" if target == "frames" else None
    )
    assert sorted(os.listdir(tmp_path / "frames")) == [f"{number:05d}.png" for number in range(6)]
    assert_close(
        read_video(tmp_path / "frames").frames(), clip(), atol=0.51 / (2**bits - 1), rtol=0
    )


def test_a_folder_with_files_is_left_alone_unless_told(tmp_path):
    folder = tmp_path / "frames"
    write_video(f"{folder}/", clip(9), 25)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_video(folder, clip(4), 25)
    assert len(os.listdir(folder)) == 10
    write_video(folder, clip(4) * 0, 25, overwrite=True)
    assert (folder / "mine.txt").read_text() == "mine"
    back = read_video(folder).frames()
    assert len(back) == 4 and not back.any()


def test_batches_and_tensor_make_the_same_film(tmp_path):
    write_video(tmp_path / "a.mp4", clip(20), 25)
    write_video(tmp_path / "b.mp4", prefetch(iter(clip(20).half().split(3))), 25)
    assert (
        read_video(tmp_path / "a.mp4").frames() - read_video(tmp_path / "b.mp4").frames()
    ).abs().mean() < 0.005


def test_a_writer_does_not_touch_what_it_is_given(tmp_path):
    frames = clip(2) * 1.5
    before = frames.clone()
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(frames)
        assert torch.equal(frames, before)
        frames.zero_()  # and what is done to it afterwards does not reach the film
    assert read_video(tmp_path / "a.mp4").frames().mean() > 0.4


@pytest.mark.parametrize(
    ("source", "codec", "target", "wanted"),
    [
        ("s.mp4", "aac", "a.mp4", "aac"),
        ("s.mkv", "mp3", "a.mp4", "mp3"),
        ("s.webm", "libopus", "a.mp4", "aac"),
        ("s.mov", "pcm_s16le", "a.mp4", "aac"),
        ("s.mov", "pcm_s16le", "a.mov", "pcm_s16le"),
        ("s.mp4", "aac", "a.webm", "opus"),
        ("s.webm", "libopus", "a.webm", "opus"),
        ("s.webm", "libopus", "a.mkv", "opus"),
        ("s.wav", "pcm_s16le", "a.mp4", "aac"),
    ],
)
def test_sound_comes_along_and_ends_with_the_picture(tmp_path, source, codec, target, wanted):
    write_sound(tmp_path / source, seconds=2, codec=codec, rate=48000)
    write_video(tmp_path / target, clip(15), 10, audio_from=tmp_path / source)
    name, end, first, last = sound_of(tmp_path / target)
    assert name == wanted
    assert abs(end - 1.5) < 0.06
    assert abs(first - 440) < 8 and abs(last - 880) < 8


@pytest.mark.parametrize("target", ["a.mp4", "a.webm"])
def test_a_clips_sound_begins_where_the_clip_begins(tmp_path, target):
    write_sound(tmp_path / "s.mp4", seconds=2, frames=20)
    part = read_video(tmp_path / "s.mp4", start=5, stop=15)  # 0.5 to 1.5 s; the tone changes at 1 s
    assert part.has_audio
    write_video(tmp_path / target, part, part.fps, audio_from=part)
    _, end, first, last = sound_of(tmp_path / target)
    assert abs(end - 1) < 0.06 and abs(first - 440) < 8 and abs(last - 880) < 8
    with av.open(str(tmp_path / target)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        rate = container.streams.audio[0].codec_context.sample_rate
    crossings = np.flatnonzero(np.diff(np.signbit(samples))) / rate
    slow = np.flatnonzero(np.diff(crossings) > 1.5 / 1760)
    assert abs(crossings[slow[-1]] - 0.5) < 0.05  # the change of tone is where it belongs


def test_short_sound_and_no_sound_are_fine(tmp_path):
    write_sound(tmp_path / "short.mp4", seconds=0.3)
    write_video(tmp_path / "a.mp4", clip(10), 10, audio_from=tmp_path / "short.mp4")
    assert (
        read_video(tmp_path / "a.mp4").len_hint == 10
        and abs(sound_of(tmp_path / "a.mp4")[1] - 0.3) < 0.06
    )
    write_video(tmp_path / "silent.mp4", clip(), 10)
    for silent in (tmp_path / "silent.mp4", read_video(tmp_path / "silent.mp4")):
        write_video(tmp_path / "b.mp4", clip(), 10, audio_from=silent)
        assert not read_video(tmp_path / "b.mp4").has_audio
    write_video(tmp_path / "a.gif", clip(), 10, audio_from=tmp_path / "short.mp4")
    with pytest.raises(MediaError, match="does not exist"):
        write_video(tmp_path / "c.mp4", clip(), 10, audio_from=tmp_path / "nothing.mp4")


@pytest.mark.parametrize("target", ["a.mp4", "a.gif", "a.webp", "frames/"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_what_fails_half_way_leaves_nothing(tmp_path, target, error):
    with pytest.raises(error), VideoWriter(f"{tmp_path}/{target}", 25) as writer:
        writer.write(clip())
        raise error
    assert os.listdir(tmp_path) == []


def test_what_fails_half_way_leaves_the_older_film(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 25)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(ValueError), VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(clip())
        raise ValueError
    assert (tmp_path / "a.mp4").read_bytes() == before


def test_a_writer_in_a_generator_that_is_dropped_leaves_nothing(tmp_path):
    def animate():
        with VideoWriter(tmp_path / "a.mp4", 25) as writer:
            while True:
                writer.write(clip())
                yield

    running = animate()
    next(running)
    running.close()
    assert os.listdir(tmp_path) == []


def test_what_the_encoder_meets_comes_out_of_the_writer(tmp_path, monkeypatch):
    def full(*_):
        raise MediaError("the disk is full")

    monkeypatch.setattr(
        video,
        "to_pixels",
        lambda frames, bits: torch.zeros(len(frames), 8, 8, 3, dtype=torch.uint8),
    )
    monkeypatch.setattr("comfyui_motion.media.sequence.save_pixels", full)
    with (
        pytest.raises(MediaError, match="the disk is full"),
        VideoWriter(f"{tmp_path}/frames/", 25) as writer,
    ):
        for _ in range(100):
            writer.write(clip())
    assert writer.count < 600 and os.listdir(tmp_path) == []


def test_no_frames_make_no_file(tmp_path):
    for target in (tmp_path / "a.mp4", f"{tmp_path}/frames/"):
        with pytest.raises(MediaError, match="no frames"):
            write_video(target, [], 25)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a", {}, r"\.mp4 .*\.webm .*%05d"),
        ("a.xyz", {}, r"\.mp4 .*\.webm"),
        ("a.jpg", {}, r"\.mp4"),
        ("%05d.jpg", {}, r"\.png"),
        ("a.webm", {"codec": "h264"}, "vp9"),
        ("a.mp4", {"bits": 16}, "16 bits"),
        ("a.mp4", {"fps": 0}, "above 0"),
    ],
)
def test_targets_that_cannot_be_are_refused_with_those_that_can(tmp_path, name, options, words):
    with pytest.raises(InputError, match=words):
        write_video(tmp_path / name, clip(), **{"fps": 25, **options})
    assert os.listdir(tmp_path) == []


def test_a_target_in_no_folder_is_refused_before_the_first_frame(tmp_path):
    for target in ("none/a.mp4", "none/frames/%05d.png"):
        with pytest.raises(MediaError, match="does not exist"), VideoWriter(tmp_path / target, 25):
            pytest.fail("the block must not begin")


def test_frames_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="one size"), VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(clip())
        writer.write(clip(height=32))
    with pytest.raises(InputError, match="B 3 H W"), VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(clip()[0])
    with pytest.raises(InputError, match="with block"):
        VideoWriter(tmp_path / "a.mp4", 25).write(clip())
