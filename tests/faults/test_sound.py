"""Sound never costs the picture: what can be used is, and what cannot is left out with a word."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from comfyui_motion.media.video import read_video, write_video


@pytest.fixture
def laid_under(tmp_path):
    """laid_under(driver, name): the tracks of sound of a film of 1 s with the driver's."""

    def lay(driver, name="o.mp4"):
        clip = read_video(driver)
        frames = torch.linspace(0, 1, 25)[:, None, None, None].expand(25, 3, 32, 32)
        assert write_video(tmp_path / name, frames, 25, audio_from=clip) == 25
        with av.open(str(tmp_path / name)) as container:
            assert len(list(container.decode(video=0))) == 25
        with av.open(str(tmp_path / name)) as container:
            if not container.streams.audio:
                return None
            heard = list(container.decode(audio=0))
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in heard]), heard

    return lay


def seconds(heard):
    return max(frame.time + frame.samples / frame.sample_rate for frame in heard)


@pytest.mark.parametrize("rate", [8000, 11024, 44100, 96000, 192000])
@pytest.mark.parametrize("name", ["o.mp4", "o.webm"])
def test_every_rate_is_brought_to_one_that_the_target_has(film, laid_under, rate, name):
    driver = film("d.mov", 25, sound="pcm_s32le", sound_rate=rate)
    samples, heard = laid_under(driver, name)
    assert abs(seconds(heard) - 1) < 0.06
    spectrum = np.abs(np.fft.rfft(samples[: len(samples) // 2]))
    pitch = spectrum.argmax() * heard[0].sample_rate / (len(samples) // 2)
    assert abs(pitch / (2 if heard[0].layout.nb_channels > 1 else 1) - 440) < 30


@pytest.mark.parametrize("rate", [8000, 11025, 16000])
@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
def test_sound_that_a_target_has_not_as_it_is_is_made_anew(film, laid_under, rate, name):
    driver = film("d.mkv", 25, sound="libmp3lame", sound_rate=rate)
    _, heard = laid_under(driver, name)
    assert abs(seconds(heard) - 1) < 0.15


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.webm", "o.mkv"])
def test_sound_without_a_decoder_is_left_out_with_a_word(film, laid_under, caplog, name):
    driver = film("d.mov", 25, sound="pcm_s16le")
    data = driver.read_bytes()
    driver.write_bytes(data.replace(b"sowt", b"apac"))
    assert laid_under(driver, name) is None and "sound is left out" in caplog.text


def test_the_first_track_that_can_be_decoded_is_taken(film, tmp_path, laid_under, caplog):
    path = tmp_path / "two.mov"
    with av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        tracks = [
            target.add_stream(codec, rate=48000, layout="mono") for codec in ("pcm_s16le", "aac")
        ]
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), 8 * number, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(video.encode(frame))
            for track in tracks:
                wave = np.full((1, 1920), 3000, np.int16)
                sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = (
                    48000,
                    1920 * number,
                    Fraction(1, 48000),
                )
                target.mux(track.encode(sound))
        for stream in (video, *tracks):
            target.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    assert laid_under(path) is not None and "track 2 is used" in caplog.text


def test_a_hole_in_the_sound_is_silence_and_what_follows_stays_in_its_place(tmp_path, laid_under):
    path, rate = tmp_path / "d.mkv", 48000
    with av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        track = target.add_stream("pcm_s32le", rate=rate, layout="mono")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), 8 * number, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(video.encode(frame))
            if number < 5 or number >= 15:
                wave = np.sin(np.arange(1920) / 20) * 2**29
                sound = av.AudioFrame.from_ndarray(
                    wave.astype(np.int32)[None], format="s32", layout="mono"
                )
                sound.sample_rate, sound.pts, sound.time_base = (
                    rate,
                    1920 * number,
                    Fraction(1, rate),
                )
                target.mux(track.encode(sound))
        target.mux(video.encode(None))
    _, heard = laid_under(path)
    level = [(frame.time, float(np.abs(frame.to_ndarray()).max())) for frame in heard]
    assert max(loud for time, loud in level if 0.25 < time < 0.55) < 0.02
    assert min(loud for time, loud in level if 0.65 < time < 0.95) > 0.1


def test_damage_in_the_sound_leaves_the_picture_and_the_rest(film, laid_under):
    driver = film("d.mov", 25, sound="pcm_s16le")
    with av.open(str(driver)) as container:
        places = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
    data = bytearray(driver.read_bytes())
    for start, size in places[10:12]:
        data[start : start + size] = b"\xff" * size
    driver.write_bytes(data)
    assert laid_under(driver) is not None


def test_damage_in_copied_sound_is_left_out_and_told_of(film, laid_under, caplog):
    driver = film("d.mp4", 25, sound="aac")
    with av.open(str(driver)) as container:
        places = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
    data = bytearray(driver.read_bytes())
    for start, size in places[10:14]:
        data[start : start + size] = b"\xff" * size
    driver.write_bytes(data)
    _, heard = laid_under(driver, "o.mp4")
    assert "4 stretches of its sound are damaged" in caplog.text
    assert 0.9 < seconds(heard) < 1.1
