"""Files as people have them, made small: films of any timing, with and without damage and sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import settings

# what hypothesis tries: few and always the same in `make test`, many and ever others in `make soak`
settings.register_profile("few", max_examples=15, deadline=None, derandomize=True, database=None)
settings.register_profile("many", max_examples=1000, deadline=None, database=None)
settings.load_profile("few")

WIDTH, HEIGHT = 64, 48
CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frame `number`: its gray level tells which it is; a corner keeps it from being one colour."""
    pixels = np.full((height, width, 3), 30 + 8 * (number % 25), np.uint8)
    pixels[: height // 3, : width // 4] = (230, 40, 40)
    return pixels


@pytest.fixture
def numbers() -> Callable[..., list[int]]:
    """numbers(frames): which frames these are. B 3 H W"""
    return which


def which(frames: Any) -> list[int]:
    height, width = frames.shape[-2:]
    middle = frames[..., height // 2 :, width // 2 :].mean((1, 2, 3)) * 255
    return [round((float(gray) - 30) / 8) for gray in middle]


@pytest.fixture
def film(tmp_path) -> Callable[..., Path]:
    """film(name, frames, ...): `times` in thousandths of a second, a frame each;
    `sound` a codec.
    """

    def make(
        name: str = "d.mp4",
        frames: int = 12,
        rate: int = 25,
        times: Sequence[int] | None = None,
        sound: str | None = None,
        sound_rate: int = 48000,
        aspect: Fraction | None = None,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        muxer: dict[str, str] | None = None,
        codec: str | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=muxer or {}) as target:
            stream = target.add_stream(codec or CODECS.get(path.suffix, "mpeg4"), rate=rate)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"crf": "4", **options}
            tick = Fraction(1, 1000) if times else Fraction(1, rate)
            stream.codec_context.time_base = tick
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            heard = target.add_stream(sound, rate=sound_rate, layout="mono") if sound else None
            packets = []
            for i in range(frames):
                frame = av.VideoFrame.from_ndarray(numbered(i, *size), format="rgb24")
                frame.pts, frame.time_base = times[i] if times else i, tick
                packets += stream.encode(frame)
            packets += stream.encode(None)
            if heard:
                packets += tone(heard, frames / rate, sound_rate)
            packets = [packet for packet in packets if packet.dts is not None]
            for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                target.mux(packet)
        return path

    return make


def tone(stream: Any, seconds: float, rate: int) -> list[Any]:
    packets, step = [], max(1, rate // 100)
    for k in range(int(seconds * rate) // step):
        wave = np.sin(2 * np.pi * 440 * (np.arange(step) + step * k) / rate) * 12000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, step * k, Fraction(1, rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


@pytest.fixture
def overwritten() -> Callable[[Path, int, int], None]:
    """overwritten(path, first, last): these packets of its picture are no longer what they were."""
    return spoil


def spoil(path: Path, first: int, last: int) -> None:
    """Packets first to last of a film's picture, their contents no longer what they were."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for start, size in places[first : last + 1]:
        for i in range(start + 5, start + size):
            data[i] = (data[i] * 7 + 13) & 255
    path.write_bytes(data)


@pytest.fixture
def model():
    """Small, learned in form, with a life of its own."""
    import comfyui_motion as motion
    from comfyui_motion.bench.lively import lively
    from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

    small = HourglassShape(8, 32, 2)
    return lively(
        motion.build("fomm", detector=small, dense=small, body=BodyShape(16, 32, 2, 1), size=64)
    )
