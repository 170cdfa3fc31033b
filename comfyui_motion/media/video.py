"""Frames from and to files, with sound, streaming: `read_video` gives a `Clip`, `write_video` and
`VideoWriter` make a file of frames.

Films are written as BT.709, video range, and say so. A target appears when it is whole, or not at
all. Frames are encoded on a thread of their own, so encoding overlaps with computing; `prefetch`
does the same for decoding. Memory does not grow with length (but for an animated WebP, which waits,
compressed, for its end).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..doors.words import logger
from ..errors import InputError
from ..shapes import are_numbers
from .clip import Clip, as_rate, read_video
from .encode import film, film_format
from .naming import sequence_pattern
from .overlap import Sink, prefetch
from .picture import to_pixels, to_rgb
from .sequence import sequence

if TYPE_CHECKING:
    import numpy as np

log = logger()
__all__ = ["Clip", "VideoWriter", "prefetch", "read_video", "write_video"]


def write_video(
    path: str | os.PathLike[str],
    frames: Tensor | Iterable[Tensor],
    fps: Fraction | float,
    *,
    audio_from: Clip | str | os.PathLike[str] | None = None,
    codec: str | None = None,
    crf: int = 17,
    bits: int = 8,
    overwrite: bool = False,
    keep: bool = False,
) -> int:
    """Write B 3 H W frames, or batches of them as they come; how many were written.

    The options are VideoWriter's.
    """
    batches = torch.split(frames, 16) if isinstance(frames, Tensor) else frames
    with VideoWriter(
        path,
        fps,
        audio_from=audio_from,
        codec=codec,
        crf=crf,
        bits=bits,
        overwrite=overwrite,
        keep=keep,
    ) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.count


class VideoWriter:
    """Writes batches of frames to a film or a sequence. Use it in a `with` block: if the block
    fails, nothing is left behind.

    `path`: .mp4 .m4v (H.264), .mov (H.264, codec="prores" for ProRes 4444, "prores-422" for 422
    HQ), .mkv, .webm (VP9), .gif, .webp; a numbered pattern ending in .png, a folder that exists or
    a string ending in "/", or any path with codec="png": a PNG sequence. `audio_from`: a file whose
    sound goes along, or a Clip, whose sound starts where the clip starts. It is cut to the frames'
    length, copied where the container takes it and re-encoded where not; nothing happens where
    there is none, or no room for it. `crf`: quality of H.264 and VP9, lower is better. `bits`: 8 or
    16, of PNG sequences. `overwrite`: let a sequence into a folder that holds files. Frames of the
    same naming are replaced, all else stays. `keep`: if the block fails (not if it is stopped by
    Ctrl-C), what is finished stays beside the target, as `out.unfinished.mp4`. H.264, VP9 and
    ProRes 422 need even sizes: the last row or column is repeated where the frames' are odd. A GIF
    shows a frame for 1/50 s at least, since browsers play what is briefer slowly; faster clips lose
    frames in it, not time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: Fraction | float,
        *,
        audio_from: Clip | str | os.PathLike[str] | None = None,
        codec: str | None = None,
        crf: int = 17,
        bits: int = 8,
        overwrite: bool = False,
        keep: bool = False,
    ) -> None:
        self.path, self.fps, self.count = Path(path), as_rate(fps), 0
        self._size: tuple[int, ...] | None = None
        self._sink: Sink | None = None
        self._stack = ExitStack()
        pattern = sequence_pattern(path, codec)
        if bits not in (8, 16) or bits == 16 and not pattern:
            raise InputError(
                f"{bits} bits in {self.path.name}: films have their codec's own depth, PNG"
                " sequences 8 or 16 bits."
            )
        self._alpha, self._flat = True, False
        if pattern:
            self._even, self._bits = False, bits
            self._target = sequence(pattern, overwrite, keep)
        else:
            format = film_format(self.path, codec, crf)
            self._even, self._bits = format.even, 16 if format.deep else 8
            self._alpha = bool(format.alpha)
            self._target = film(self.path, format, self.fps, crf, audio_from, keep)

    def write(self, frames: Tensor) -> None:
        """B 3 H W, or B 4 H W with straight alpha, floats in 0..1, any device. Raises what an
        earlier batch met in the encoder.

        Where the format has no alpha the frames are laid on white, and the log says so once.
        """
        if self._sink is None:
            raise InputError(
                "a VideoWriter writes inside its with block: `with VideoWriter(path, fps) as"
                " writer: writer.write(frames)`."
            )
        if frames.ndim != 4 or frames.shape[1] not in (3, 4) or not frames.is_floating_point():
            raise InputError(
                f"frames to write are B 3 H W floats (or B 4 H W, with alpha) in 0..1; these are"
                f" {tuple(frames.shape)}"
                f" {frames.dtype}."
            )
        if frames.shape[1] == 4 and not self._alpha:
            if not self._flat:
                log.warning(
                    "%s has no room for alpha: the frames are laid on white. PNG sequences, ProRes"
                    " 4444, WebM and WebP have.",
                    self.path.name,
                )
            self._flat, frames = True, to_rgb(frames)
        self._size = self._size or tuple(frames.shape[-2:])
        if self._size != tuple(frames.shape[-2:]):
            raise InputError(
                f"all frames of a clip have one size, here H W = {self._size}, and now"
                f" {tuple(frames.shape[-2:])} came."
            )
        pixels = to_pixels(_padded(frames) if self._even else frames, self._bits)
        self._sink.put(_Pixels(pixels, are_numbers(frames), self.count))
        self.count += len(frames)

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            encode = stack.enter_context(self._target)

            def work(pixels: _Pixels) -> None:
                for frame in pixels.numpy():
                    encode(frame)

            self._sink = stack.enter_context(Sink(work))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._sink = None
        self._stack.__exit__(kind, error, trace)


class _Pixels:
    """B H W 3 on its way to the encoder: fetched from its device there, so that the device goes on
    computing here.
    """

    def __init__(self, pixels: Tensor, finite: Tensor, number: int) -> None:
        self._pixels, self._finite, self._number = pixels, finite, number
        self._ready = (
            torch.cuda.current_stream(pixels.device).record_event() if pixels.is_cuda else None
        )

    def numpy(self) -> np.ndarray:
        if self._ready:
            self._ready.synchronize()
        if not self._finite.all():
            number = self._number + int(self._finite.logical_not().nonzero()[0])
            raise InputError(
                f"frame {number} to write holds values that are no numbers (NaN or infinite): what"
                " made it ran out of range; in half precision, try float32 or bfloat16."
            )
        return self._pixels.cpu().numpy()


def _padded(frames: Tensor) -> Tensor:
    """Even height and width, by repeating the last row or column."""
    height, width = frames.shape[-2:]
    return (
        torch.nn.functional.pad(frames.float(), (0, width % 2, 0, height % 2), mode="replicate")
        if height % 2 or width % 2
        else frames
    )
