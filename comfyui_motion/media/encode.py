"""From frames to files: one function a kind of file, each giving a function that takes frames one
at a time.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, MediaError
from .clip import Clip
from .files import check_parent, partial_path, written_whole
from .picture import save_pixels
from .sound import SOUND, Sound

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Format:
    """How frames become one kind of film."""

    encoder: str
    pixels: str  # FFmpeg's name of the pixel format
    options: dict[str, str] = field(default_factory=dict)  # the encoder's; {crf} is filled in
    even: bool = False  # chroma is stored at half size
    deep: bool = False  # more than 8 bits go in


H264 = Format("libx264", "yuv420p", {"crf": "{crf}", "preset": "medium"}, even=True)
VP9_OPTIONS = {"crf": "{crf}", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
VP9 = Format("libvpx-vp9", "yuv420p", VP9_OPTIONS, even=True)
PRORES_4444 = Format("prores_ks", "yuv444p10le", {"profile": "4", "vendor": "apl0"}, deep=True)
PRORES_422 = Format(
    "prores_ks", "yuv422p10le", {"profile": "3", "vendor": "apl0"}, even=True, deep=True
)
PRORES = {"prores": PRORES_4444, "prores-422": PRORES_422}

# extension → codec name → format; the first is the default
FORMATS: dict[str, dict[str, Format]] = {
    ".mp4": {"h264": H264},
    ".m4v": {"h264": H264},
    ".mov": {"h264": H264, **PRORES},
    ".mkv": {"h264": H264, "vp9": VP9, **PRORES},
    ".webm": {"vp9": VP9},
    ".gif": {"gif": Format("gif", "pal8")},
    ".webp": {"webp": Format("libwebp_anim", "bgra", {"quality": "90"})},
}
MUXER_OPTIONS = {
    **dict.fromkeys(
        (".mp4", ".m4v", ".mov"), {"movflags": "+faststart"}
    ),  # the index in front: plays while it loads
    **dict.fromkeys((".gif", ".webp"), {"loop": "0"}),  # for ever
}


def film_format(path: Path, codec: str | None) -> Format:
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise InputError(
            f"{path.name} has no clip's extension: {' '.join(FORMATS)} are known; a PNG sequence is"
            " a pattern like frames/%05d.png, a folder ending in /, or any path with codec='png'."
        )
    if codec is not None and codec not in known:
        raise InputError(f"{path.suffix} takes the codecs {', '.join(known)}, not {codec}.")
    return known[codec or next(iter(known))]


@contextmanager
def film(
    path: Path, format: Format, fps: Fraction, crf: int, audio_from: Clip | str | os.PathLike | None
) -> Iterator[Any]:
    """Give a function that takes one frame, H W 3."""
    from av.error import FFmpegError

    with written_whole(path) as partial, ExitStack() as stack:
        sound = None
        if audio_from is not None and path.suffix.lower() in SOUND:
            sound = stack.enter_context(closing(Sound(audio_from, path.suffix.lower())))
        encoder = stack.enter_context(closing(_Film(partial, format, fps, crf, sound)))
        try:
            yield encoder.encode
            encoder.finish()
        except FFmpegError as error:
            raise MediaError(f"{path} cannot be encoded: {str(error).rstrip('.')}.") from error
        if not encoder.count:
            raise MediaError(f"{path} was not written: no frames came.")


class _Film:
    """One film being made. The first frame opens it: it decides the size."""

    def __init__(
        self, path: Path, format: Format, fps: Fraction, crf: int, sound: Sound | None
    ) -> None:
        self.path, self.format, self.fps, self.crf, self.sound = path, format, fps, crf, sound
        self.count = 0
        self.container: Any = None

    def encode(self, pixels: np.ndarray) -> None:
        if self.container is None:
            self._open(*pixels.shape[:2])
        for frame in self.convert(self._frame(pixels)):
            self._mux(frame)
        self.count += 1
        if (
            self.sound
        ):  # as far as the picture goes: both end together, and a player finds them side by side
            self.sound.mux_until(self.count / self.fps)

    def finish(self) -> None:
        if self.container is not None:
            for frame in self.convert(None):
                self._mux(frame)
            self._mux(None)
            self.container.close()

    def close(self) -> None:
        from av.error import FFmpegError

        if self.container is not None:
            with suppress(FFmpegError, ValueError):
                # nothing to do when finished; when not, the file must be closed before it is
                # deleted
                self.container.close()

    def _open(self, height: int, width: int) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self.container = av.open(
            str(self.path.absolute()), "w", options=MUXER_OPTIONS.get(self.path.suffix.lower(), {})
        )
        options = {name: value.format(crf=self.crf) for name, value in self.format.options.items()}
        self.stream: Any = self.container.add_stream(
            self.format.encoder, rate=self.fps, options=options
        )
        self.stream.height, self.stream.width, self.stream.pix_fmt = (
            height,
            width,
            self.format.pixels,
        )
        self.stream.codec_context.time_base = 1 / self.fps  # a frame is a tick: nothing to round
        if self.format.pixels.startswith("yuv"):
            context = self.stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = (
                context.color_range
            ) = 1  # BT.709, video range
        if self.sound:
            self.sound.open(self.container)
        self.reformat = VideoReformatter().reformat  # one for all: it keeps its tables
        self.convert = (
            _palettes(width, height, 1 / self.fps)
            if self.format.pixels == "pal8"
            else self._reformatted
        )

    def _frame(self, pixels: np.ndarray) -> Any:
        from av import VideoFrame

        frame = VideoFrame.from_ndarray(pixels, format="rgb48le" if self.format.deep else "rgb24")
        frame.pts, frame.time_base = self.count, 1 / self.fps
        return frame

    def _reformatted(self, frame: Any) -> list[Any]:
        from av.video.reformatter import ColorRange, Colorspace

        if frame is None:
            return []
        if not self.format.pixels.startswith("yuv"):
            return [self.reformat(frame, format=self.format.pixels)]
        frame = self.reformat(
            frame,
            format=self.format.pixels,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.colorspace = frame.color_range = 1
        return [frame]

    def _mux(self, frame: Any) -> None:
        self.container.mux(self.stream.encode(frame))


def _palettes(width: int, height: int, time_base: Fraction) -> Any:
    """RGB frames → frames of 256 colours, each with the palette that suits it; None flushes.

    Ordered dither, which does not crawl.
    """
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    graph = Graph()
    source = graph.add(
        "buffer",
        f"video_size={width}x{height}:pix_fmt=rgb24:time_base={time_base}:pixel_aspect=1/1",
    )
    split = graph.add("split")
    generate = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    for start, end, output, input in (
        (source, split, 0, 0),
        (split, use, 0, 0),
        (split, generate, 1, 0),
        (generate, use, 0, 1),
    ):
        start.link_to(end, output, input)
    use.link_to(sink)
    graph.configure()

    def convert(frame: Any) -> Iterator[Any]:
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except (BlockingIOError, EOFError):
                return

    return convert


# PNG sequences


def sequence_pattern(path: str | os.PathLike, codec: str | None) -> Path | None:
    """`folder/%05d.png` for what asks for a sequence of pictures, None for a film."""
    name, path = str(path), Path(path)
    if re.search(r"%0?\d*d", path.name):
        if path.suffix.lower() != ".png":
            raise InputError(f"a sequence is written as PNG: {path.name} should end in .png.")
        return path
    return (
        path / "%05d.png"
        if codec == "png" or path.is_dir() or name.endswith(("/", os.sep))
        else None
    )


@contextmanager
def sequence(pattern: Path, overwrite: bool) -> Iterator[Any]:
    """Give a function that takes one frame, H W 3.

    The pictures gather in a folder beside the target until all are there.
    """
    folder = pattern.parent.absolute()
    if folder.exists() and not folder.is_dir():
        raise MediaError(f"{folder} is a file, and a folder for a sequence was expected.")
    if (
        not overwrite
        and folder.is_dir()
        and any(not entry.name.startswith(".") for entry in folder.iterdir())
    ):
        raise InputError(
            f"the folder {folder} is not empty: choose another, or let it overwrite (--overwrite,"
            f" overwrite=True), which replaces its {pattern.name} and no more."
        )
    check_parent(folder)
    partial, count = partial_path(folder), 0

    def save(pixels: np.ndarray) -> None:
        nonlocal count
        save_pixels(pixels, partial / (pattern.name % count))
        count += 1

    shutil.rmtree(partial, ignore_errors=True)  # an earlier run that was killed
    partial.mkdir()
    try:
        yield save
        if not count:
            raise MediaError(f"{pattern} was not written: no frames came.")
        _settle(partial, pattern, count)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _settle(partial: Path, pattern: Path, count: int) -> None:
    """The finished pictures to their place; an older, longer sequence of the same naming does not
    stick out behind the new one.
    """
    folder = pattern.parent
    if not folder.exists():
        os.replace(partial, folder)
        return
    for number in range(count):
        os.replace(partial / (pattern.name % number), folder / (pattern.name % number))
    number = count
    while (stale := folder / (pattern.name % number)).exists():
        stale.unlink()
        number += 1
