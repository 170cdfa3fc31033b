"""A clip is frames with times: picture and sound stay together, however its frames come."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comfyui_motion.errors import InputError
from comfyui_motion.media.times import Shown, as_rate, even_rate, evenly
from comfyui_motion.media.video import read_video, write_video

UNEVEN = [33 * i if i < 20 else 660 + 200 * (i - 20) for i in range(24)]


def shown(times, last=0.04):
    return [Shown(time, last, lambda number=number: number) for number, time in enumerate(times)]


@pytest.mark.parametrize("name", ["d.mp4", "d.mov", "d.mkv", "d.webm"])
def test_a_film_of_variable_rate_shows_what_it_shows_when_it_shows_it(film, numbers, name):
    clip = read_video(film(name, len(UNEVEN), 30, UNEVEN))
    found = numbers(clip.frames())
    assert abs(clip.fps - 30) < 0.5
    for place, number in enumerate(found):
        moment = place / float(clip.fps) * 1000
        within = [i for i, time in enumerate(UNEVEN) if abs(time - moment) <= 17.5]
        before = max(i for i, time in enumerate(UNEVEN) if time <= moment + 17.5)
        assert number in within or number == before
    assert abs(len(found) / float(clip.fps) - UNEVEN[-1] / 1000) < 0.25


def test_a_film_that_claims_a_thousand_frames_a_second_has_its_own_rate(film):
    times = [0, 33, 66, 101, 133, 167, 200, 234, 266, 300]
    clip = read_video(film("d.webm", 10, 1000, times))
    assert 29 < clip.fps < 31 and len(clip.frames()) == 10


@pytest.mark.parametrize("wanted", [5, 12.5, 25, 60])
def test_another_rate_holds_and_drops_and_never_slows(film, numbers, wanted):
    clip = read_video(film("d.mp4", 25, 25), fps=wanted)
    found = numbers(clip.frames())
    assert (clip.fps, len(found)) == (as_rate(wanted), int(wanted + 0.5))
    assert all(
        abs(number / 25 - place / wanted) <= 0.5 / wanted + 0.04
        for place, number in enumerate(found)
    )


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animated_picture_holds_its_last_frame_as_long_as_it_says(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), (20 * i, 0, 90)) for i in range(6)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40] * 5 + [2000])
    clip = read_video(path)
    reds = (clip.frames()[:, 0, 8, 8] * 255).round()
    assert clip.fps == 25 and len(reds) == 55 and int((reds < 90).sum()) == 5


def test_delays_that_browsers_do_not_believe_are_read_as_they_play_them(tmp_path):
    frames = [Image.new("RGB", (16, 16), (40 * i, 0, 0)) for i in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=10)
    assert read_video(tmp_path / "a.gif").fps == 10


@pytest.mark.parametrize(("name", "least"), [("o.gif", 20), ("o.webp", 11)])
@pytest.mark.parametrize("fps", [12, 30, 60, Fraction(120000, 1001)])
def test_no_delay_is_written_that_browsers_play_slowly(tmp_path, name, least, fps):
    frames = torch.linspace(0, 1, 40)[:, None, None, None].expand(40, 3, 16, 16).clone()
    frames[..., :4] = 0.5
    write_video(tmp_path / name, frames, fps)
    with Image.open(tmp_path / name) as image:
        delays = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            delays.append(image.info["duration"])
    assert min(delays) >= least and abs(sum(delays) / 1000 - 40 / fps) < 0.03


def test_sound_and_picture_end_together_at_any_rate(film, tmp_path):
    clip = read_video(film("d.mp4", 50, 50, sound="aac"), fps=10)
    write_video(tmp_path / "o.mp4", clip, clip.fps, audio_from=clip)
    with av.open(str(tmp_path / "o.mp4")) as container:
        seconds = {s.type: float(s.duration * s.time_base) for s in container.streams}
    assert abs(seconds["video"] - 1) < 0.06 and abs(seconds["audio"] - 1) < 0.06


def test_a_retimed_clip_has_every_frame_and_no_sound(film, numbers, caplog):
    clip = read_video(film("d.mp4", 20, 50, sound="aac"), fps=10, retime=True)
    assert numbers(clip.frames()) == list(range(20)) and not clip.has_audio
    assert "sound is left out" in caplog.text


@pytest.mark.parametrize("rate", [0, -3, 1e9, float("nan"), float("inf"), 1e-12])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(InputError, match="frame"):
        as_rate(rate)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.floats(0.001, 0.5), min_size=1, max_size=30),
    rate=st.sampled_from([Fraction(5), Fraction(25), Fraction(30000, 1001), Fraction(60)]),
)
def test_every_moment_shows_a_frame_no_further_than_half_a_tick(steps, rate):
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    found = list(evenly(shown(times), rate, rate, 0, None))
    tick = float(1 / rate)
    assert found == sorted(found)
    for place, number in enumerate(found):
        held = max(i for i, time in enumerate(times) if time <= place * tick + 0.5 * tick + 1e-6)
        assert abs(times[number] - place * tick) <= 0.5 * tick + 1e-5 or number <= held
    assert abs(len(found) * tick - (times[-1] + 0.04)) <= 1.5 * tick


def test_what_is_held_is_what_came_last():
    burst = [number / 60 for number in range(12)]  # then nothing changes for a second
    times = [*burst, burst[-1] + 1, burst[-1] + 1 + 1 / 60]
    found = list(evenly(shown(times), Fraction(60), Fraction(30), 0, None))
    assert found[7:30] == [11] * 23 and found[-1] >= 12


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_moments_that_tremble_have_the_rate_they_tremble_about(rate):
    tremble = (0.06, -0.07, 0.03, 0.08, -0.05, -0.08, 0.01)
    moments = [(number + tremble[number % 7]) / rate for number in range(200)]
    found = even_rate(moments, Fraction(1000))
    assert found is not None and abs(found - rate) < rate / 100


@pytest.mark.parametrize("name", ["d.mp4", "d.mkv", "d.webm"])
def test_how_many_frames_to_expect_is_what_comes(film, name):
    times = [700 + 33 * i if i < 20 else 1360 + 200 * (i - 20) for i in range(24)]
    clip = read_video(film(name, 24, 30, times))
    assert abs(clip.len_hint - len(clip.frames())) <= 2


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(3, 200),
    rate=st.sampled_from(
        [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)]
    ),
)
def test_thousandths_of_a_second_hide_no_rate(count, rate):
    moments = [round(1000 * number / rate) / 1000 for number in range(count)]
    assert even_rate(moments, rate) == rate
    found = even_rate(moments, None)
    assert found is not None and abs(found - rate) / rate < 0.05
    assert list(evenly(shown(moments, float(1 / rate)), rate, rate, 0, None)) == [*range(count)]


def test_an_hour_does_not_drift():
    rate, own = Fraction(30000, 1001), 30
    moments = (number / own for number in range(3600 * own))
    frames = evenly(
        (Shown(m, 1 / own, lambda m=m: m) for m in moments), Fraction(own), rate, 0, None
    )
    worst = max(abs(moment - place / float(rate)) for place, moment in enumerate(frames))
    assert worst <= 0.5 / float(rate) + 1e-6
