"""From films to frames: what FFmpeg decodes, turned upright, in RGB by the film's own matrix and
range, on a background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MediaError
from .picture import to_rgb, turned

if TYPE_CHECKING:
    import numpy as np

Named = tuple[
    str, Tensor
]  # what to call a frame in a sentence, and the frame: 3 H W, uint8 or float in 0..1

# FFmpeg's numbers: a frame's colour space → the converter's matrix
BT709, BT601, VIDEO_RANGE = 1, 5, 1
MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9, 10: 9}


@contextmanager
def open_film(path: Path) -> Iterator[tuple[Any, Any]]:
    """The opened container and its moving picture. What fails on opening is one MediaError."""
    import av
    from av.error import FFmpegError
    from av.stream import Disposition

    try:
        # absolute, since FFmpeg would take "take:2.mp4" for a protocol
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path} is no clip, or one that is damaged or unfinished ({_reason(error)})."
        ) from error
    with container:
        moving = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]  # album covers
        if not moving:
            found = "only sound" if container.streams.audio else "nothing that moves"
            raise MediaError(f"{path} holds {found}: a clip with pictures was expected.")
        moving[0].thread_type = "AUTO"
        yield container, moving[0]


def decode_film(
    path: Path, background: Sequence[float], start: int, stop: int | None
) -> Iterator[Named]:
    from av.error import FFmpegError

    whole = 0  # how many frames came out whole
    with open_film(path) as (container, stream):
        read = _frame_reader(background)
        try:
            for frame in islice(_coded_frames(container, stream), stop):
                if whole >= start:
                    if frame.is_corrupt:
                        raise ValueError("parts of the picture are missing")
                    yield f"Frame {whole} of {path}", read(frame)
                whole += 1
            if (stop is None or whole < stop) and _ends_early(path, container, stream):
                raise ValueError("the file ends before its last frame, as after a broken download")
        except (FFmpegError, ValueError) as error:
            advice = f"; what comes before can be read with stop={whole}" if whole else ""
            raise MediaError(
                f"{path} is damaged at frame {whole} ({_reason(error)}){advice}."
            ) from error


def _ends_early(path: Path, container: Any, stream: Any) -> bool:
    """Whether the index of an mp4 or mov leads beyond the end of the file, which the decoder passes
    over in silence.
    """
    index = getattr(stream, "index_entries", ())  # PyAV tells since version 17
    if "mp4" not in container.format.name or not len(index):
        return False
    last = index[len(index) - 1]
    return last.pos + last.size > path.stat().st_size


def _coded_frames(container: Any, stream: Any) -> Iterator[Any]:
    import av

    if stream.metadata.get("alpha_mode") != "1":
        yield from container.decode(stream)
        return
    # WebM keeps transparency beside the picture, where only this decoder looks
    decoder: Any = av.CodecContext.create(
        f"libvpx{'-vp9' if stream.codec_context.name == 'vp9' else ''}", "r"
    )
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)


def _frame_reader(background: Sequence[float]) -> Callable[[Any], Tensor]:
    """Decoded frames of one film → 3 H W, uint8, or float32 where the film is transparent."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # one for all: it keeps its tables

    def read(frame: Any) -> Tensor:
        transparent = any(component.is_alpha for component in frame.format.components)
        to = "rgba" if transparent else "rgb24"
        pixels = reformatter.reformat(
            frame, format=to, **({} if frame.format.is_rgb else _colours(frame))
        ).to_ndarray()
        frame_pixels = torch.from_numpy(_upright(pixels, frame)).permute(2, 0, 1)
        return to_rgb(frame_pixels[None], background)[0] if transparent else frame_pixels

    return read


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


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")
