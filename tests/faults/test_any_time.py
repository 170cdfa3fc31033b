"""Films whose frames come at any moments: where the picture changes, the sound that goes with it is
heard, to half a frame.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from comfyui_motion.media.times import as_rate
from comfyui_motion.media.video import read_video, write_video

pytestmark = pytest.mark.many

RATE = 48000
MILLISECOND = Fraction(1, 1000)


@st.composite
def moments(draw) -> list[int]:
    """Thousandths of a second at which frames show: even, trembling, in bursts, with holes; and
    not from 0.
    """
    step = draw(st.integers(16, 120))
    tremble = st.integers(-step // 3, step // 3)
    steps = [step + draw(tremble) for _ in range(draw(st.integers(4, 12)))]
    for place in draw(st.lists(st.integers(0, len(steps) - 1), max_size=3)):
        steps[place] = draw(st.sampled_from([1, 5, 400, 900]))
    times = [draw(st.sampled_from([0, 0, 21, 350]))]
    for length in steps:
        times.append(times[-1] + max(1, length))
    return times


def clapper(path: Path, times: list[int], change: int) -> None:
    """Dark frames, light from frame `change` on; silence, with a click when it shows."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.options = {"crf": "4", "tune": "zerolatency"}
        stream.codec_context.time_base = MILLISECOND
        sound = target.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number, time in enumerate(times):
            pixels = np.full((32, 32, 3), 200 if number >= change else 40, np.uint8)
            pixels[:8, :8] = 120
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, MILLISECOND
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
        wave = np.zeros(RATE * (times[-1] + 100) // 1000, np.int16)
        click = RATE * times[change] // 1000
        wave[click : click + 96] = 30000
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        target.mux(sound.encode(frame))
        target.mux(sound.encode(None))


def light_from(path: Path) -> tuple[float, float]:
    """Seconds until a film's picture is light, and half a frame of it."""
    clip = read_video(path)
    light = clip.frames()[:, :, 16:].mean((1, 2, 3)) > 0.5
    return int(light.float().argmax()) / float(clip.fps), 0.5 / float(clip.fps)


def heard_at(path: Path) -> float:
    """Seconds until a film's loudest sound."""
    with av.open(str(path)) as container:
        parts = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    wave = np.concatenate([abs(part.astype(np.float32)) for _, part in parts])
    loud = np.convolve(wave, np.ones(96), "valid").argmax()
    return (parts[0][0] or 0.0) + float(loud) / RATE


@settings(max_examples=settings().max_examples // 3)  # each is three films
@given(times=moments(), data=st.data(), fps=st.sampled_from([None, None, 12, 30]))
def test_picture_and_sound_change_together(tmp_path_factory, times, data, fps):
    folder = tmp_path_factory.mktemp("film")
    change = data.draw(st.integers(1, len(times) - 1))
    clapper(folder / "d.mkv", times, change)
    clip = read_video(folder / "d.mkv", fps=fps)
    # what comes and goes within a tick is not shown
    assume(times[change] - times[change - 1] >= 1000 / clip.fps)
    assert fps is None or clip.fps == as_rate(fps)
    write_video(folder / "o.mp4", clip, clip.fps, audio_from=clip)
    light, half = light_from(folder / "o.mp4")
    assert abs(light - heard_at(folder / "o.mp4")) <= half + 0.003, (light, clip.fps)
