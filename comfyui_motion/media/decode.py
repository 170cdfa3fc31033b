"""From films to frames: what FFmpeg decodes, turned upright, as wide as it is shown, in sRGB by
the film's own matrix, range and curve, on a background; each with its time.

What is broken in the middle does not end a film: what the decoder patches is shown, what it cannot
read is left out, and both are remarked on. Some codings have no checksum and decode whatever comes
(VP8, VP9, Huffyuv, FFV1 without its own): other bytes inside a packet are another picture to them,
and nothing can tell.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MediaError, MotionError, boundary, reason_of
from .interlaced import made_whole
from .kinds import mistaken
from .losses import Facts, Losses
from .opening import check_size, most_pixels
from .picture import to_rgb, turned
from .promised import cut_off
from .remarks import Remarks
from .times import Shown, even_rate
from .tone import Tone

if TYPE_CHECKING:
    import numpy as np

# FFmpeg's names of the files that are read, whatever a file is called: films and sound that hold
# all they need, no lists of other files (concat, hls, image2 ...)
DEMUXERS = (
    "mov matroska webm avi mpegts mpeg mpegvideo flv asf ogg mxf yuv4mpegpipe dv gif apng ivf h264"
    " hevc m4v obu nut wav w64 mp3 flac aac aiff ac3 eac3 caf"
).split()

# FFmpeg's numbers: a frame's colour space → the converter's matrix
BT709, BT601, VIDEO_RANGE = 1, 5, 1
MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9, 10: 9}
LOOKED_AT = 300  # packets, to find the rate
LONGEST = 3600.0  # seconds between two frames: a clock that jumps further has been set anew


@contextmanager
def open_film(path: Path) -> Generator[tuple[Any, Any]]:
    """The opened container and its moving picture. What fails on opening is one MediaError."""
    with open_container(path, "no clip") as container:
        stream = moving_picture(container)
        if stream is None:
            if not {"video", "audio"} & {part.type for part in container.streams}:
                raise MediaError(
                    f"{path} is damaged or unfinished: its index, which tells what is in it, is not"
                    " whole; a download that was cut off lacks it: get it again."
                )
            found = "only sound" if container.streams.audio else "nothing that moves"
            raise MediaError(f"{path} holds {found}: a clip with pictures was expected.")
        if stream.codec_context is None:
            raise MediaError(
                f"{path} is a film whose coding this FFmpeg has no decoder for; save it as H.264"
                " with the program it comes from."
            )
        check_size(path, stream.codec_context.width or 0, stream.codec_context.height or 0)
        # a frame may yet be larger than the file says
        stream.codec_context.options = {"max_pixels": str(int(most_pixels(path)))}
        stream.thread_type = "AUTO"
        yield container, stream


def open_container(path: Path, otherwise: str) -> Any:
    """What FFmpeg makes of a file: as one of DEMUXERS, out of that file alone. `otherwise` is what
    a file is that cannot be opened: "no clip". Raises MediaError.
    """
    import av

    options = {
        "format_whitelist": ",".join(DEMUXERS),
        "protocol_whitelist": "file",
        "max_pixels": str(int(most_pixels(path))),
    }
    said = (
        f"{path} is {otherwise}, or one that is damaged or unfinished ({{reason}}); a download that"
        " was cut off lacks the index at its end: get it again."
    )
    with boundary(MediaError, mistaken(path, "a clip") or said):
        # absolute, since FFmpeg would take "take:2.mp4" for a protocol
        return av.open(str(path.absolute()), metadata_errors="replace", options=options)


def moving_picture(container: Any) -> Any:
    """The stream that moves: not an album's cover. None where there is none."""
    from av.stream import Disposition

    for stream in container.streams:
        if stream.type == "video" and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def film_facts(path: Path, remarks: Remarks, fallback: Fraction) -> Facts:
    """Looks at the index and the first packets, and decodes nothing."""
    with (
        open_film(path) as (container, stream),
        boundary(MediaError, f"{path} says of itself what cannot be ({{reason}})."),
    ):
        whole, there = _indexed(path, container, stream)
        if there < whole:
            remarks.say(
                f"{path.name} is cut off: its index tells of {whole} frames, and the file holds"
                f" {there}; those are used."
            )
        lacking = cut_off(path)
        if lacking:
            remarks.say(lacking)
        packets = (p for p in _packets(container, stream) if p.pts is not None and not p.is_discard)
        moments = sorted(p.pts * stream.time_base for p in islice(packets, LOOKED_AT))
        declared = stream.average_rate or stream.guessed_rate
        rough = max(0.0015, 1.01 * float(stream.time_base))
        rate = even_rate([float(moment) for moment in moments], declared, rough) or fallback
        begin = Fraction(moments[0]) if moments else Fraction(0)
        length, firm = _length(container, stream, begin)
        if moments and len(moments) < LOOKED_AT:  # all of them
            length = max(length or Fraction(0), moments[-1] - begin + 1 / rate)
        count = round(length * rate) if length else stream.frames
        if there < whole:
            count = min(count or there, there)
        return Facts(
            rate,
            begin,
            count or None,
            bool(container.streams.audio),
            float(length) if length else None,
            there < whole or lacking is not None,
            firm,
            any(kind in container.format.name for kind in ("matroska", "flv", "nut")),
        )


def _length(container: Any, stream: Any, begin: Fraction) -> tuple[Fraction | None, bool]:
    """Seconds of picture, as far as the file says; and whether its writer knew them, for others
    are FFmpeg's estimate, or may be those of the sound.
    """
    kind = container.format.name
    if stream.duration:
        return stream.duration * stream.time_base, kind in ("avi", "ivf", "mxf")
    if not container.duration:
        return None, False
    length = Fraction(container.duration, 1_000_000)
    if "matroska" not in kind:
        return length, False
    # counts from 0, wherever the first frame lies
    own = _clock(stream.metadata.get("DURATION", ""))
    firm = own is not None or not container.streams.audio
    return max((length if own is None else own) - begin, Fraction(0)), firm


def _clock(text: str) -> Fraction | None:
    """Seconds of `00:01:02.345000000`."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)", text.strip("\0 "))
    return None if found is None else Fraction(found[3]) + 60 * int(found[2]) + 3600 * int(found[1])


def _indexed(path: Path, container: Any, stream: Any) -> tuple[int, int]:
    """How many frames the index of an mp4 or mov has, and how many of them the file reaches."""
    index = getattr(stream, "index_entries", ())  # PyAV tells since version 17
    if "mp4" not in container.format.name or not len(index):
        return 0, 0
    size, last = path.stat().st_size, index[len(index) - 1]
    if last.pos + last.size <= size:
        return len(index), len(index)
    return len(index), sum(entry.pos + entry.size <= size for entry in index)


def decode_film(
    path: Path, background: Sequence[float], remarks: Remarks, facts: Facts, start: int
) -> Generator[Shown]:
    """Every frame that can be read, in order, from the first: those before `start` too, for others
    build on them. MediaError if none can.
    """
    with open_film(path) as (container, stream):
        read, losses = FrameReader(background, stream), Losses(remarks, facts)
        step = float(1 / facts.rate)
        moment, offset = -step, -float(facts.begin)
        for frame in made_whole(_frames(container, stream, losses), remarks):
            base = frame.time_base or stream.time_base
            found = moment + step if frame.pts is None else float(frame.pts * base) + offset
            if not moment - 0.5 * step < found < moment + LONGEST:  # the clock was set anew
                offset += moment + step - found
                found = moment + step
            losses.shown(found, frame)
            moment = max(found, moment)
            lasts = _lasting(frame, base, moment, facts)
            losses.end = moment + lasts
            yield Shown(moment, lasts, partial(read, frame))
        losses.ended(path, moment)


def _lasting(frame: Any, base: Fraction, moment: float, facts: Facts) -> float:
    """How long a frame stays if it is the last: not beyond the end that the film tells of."""
    step = float(1 / facts.rate)
    said = float(getattr(frame, "duration", None) or 0) * float(base)  # PyAV tells since version 13
    lasts = max(said, step) if said < LONGEST else step
    return lasts if facts.length is None else min(lasts, max(facts.length - moment, step))


def _frames(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """All that can be decoded. What cannot is passed over."""
    decoder = _decoder(stream)
    for packet in _packets(container, stream, flush=True):
        losses.sent(packet, stream.time_base)
        try:
            for frame in decoder.decode(packet if packet.size else None):
                losses.decoded(frame)
                yield frame
        except (MemoryError, MotionError):
            raise
        except Exception as error:  # what a damaged film makes a decoder raise cannot be foreseen
            losses.reason = reason_of(error)


def _packets(container: Any, stream: Any, flush: bool = False) -> Iterator[Any]:
    """As far as the file can be read; with an empty one for the decoder at the end."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (FFmpegError, ValueError):
            packet = None
        if packet is None:
            return
        if packet.size or flush:
            yield packet


def _decoder(stream: Any) -> Any:
    import av

    if stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    # WebM keeps transparency beside the picture, where only this decoder looks
    name = f"libvpx{'-vp9' if stream.codec_context.name == 'vp9' else ''}"
    return av.CodecContext.create(name, "r")


class FrameReader:
    """Decoded frames of one film → 3 H W, uint8, or float32 where the film is transparent or its
    colours are not those of screens.
    """

    def __init__(self, background: Sequence[float], stream: Any) -> None:
        from av.video.reformatter import VideoReformatter

        self.reformat = VideoReformatter().reformat  # one for all: it keeps its tables
        self.background = background
        self.tone = Tone.of(stream.codec_context)
        self.aspect = pixel_aspect(stream)

    def __call__(self, frame: Any) -> Tensor:
        transparent = any(component.is_alpha for component in frame.format.components)
        to = "rgba" if transparent else "rgb48le" if self.tone else "rgb24"
        colours = {} if frame.format.is_rgb else _colours(frame)
        pixels = self.reformat(frame, **self._shape(frame), format=to, **colours).to_ndarray()
        picture = torch.as_tensor(_upright(pixels, frame)).permute(2, 0, 1)
        if transparent:
            return to_rgb(picture[None], self.background)[0]
        return self.tone(picture) if self.tone else picture

    def _shape(self, frame: Any) -> dict[str, int]:
        """As wide as it is shown: oblong pixels made square, the longer side of them."""
        if self.aspect == 1:
            return {}
        if self.aspect > 1:
            return {"width": max(1, round(frame.width * self.aspect)), "height": frame.height}
        return {"width": frame.width, "height": max(1, round(frame.height / self.aspect))}


def pixel_aspect(stream: Any) -> Fraction:
    """How wide a pixel is shown, in heights. What no screen has counts as square."""
    for said in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio):
        if said and Fraction(1, 4) <= said <= 4:
            return Fraction(said)
    return Fraction(1)


def _colours(frame: Any) -> dict[str, int]:
    """How YUV becomes RGB, told in full since PyAV's versions differ in what they conclude.

    Where the film does not say which matrix it used, it is what players assume of its size.
    """
    matrix = MATRICES.get(
        frame.colorspace, BT709 if frame.width >= 1280 or frame.height > 576 else BT601
    )
    return {
        "src_colorspace": matrix,
        "dst_colorspace": BT601,
        "src_color_range": frame.color_range or VIDEO_RANGE,
    }


def _upright(pixels: np.ndarray, frame: Any) -> np.ndarray:
    """Apply the display matrix (x, y) → (a x + c y, b x + d y) that phones and cameras write; only
    quarter turns and mirrors.
    """
    import numpy as np

    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    transposed = abs(b) > abs(a)
    across, down = (c, b) if transposed else (a, d)
    return np.ascontiguousarray(turned(pixels, transposed, across < 0, down < 0))
