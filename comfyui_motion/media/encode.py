"""From frames to films: `film` gives a function that takes frames one at a time."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..doors.words import logger
from ..errors import InputError, MediaError
from ..geometry.pixels import LARGE
from .clip import Clip
from .files import REASONS, cannot_write, kept_unfinished, written_whole
from .sound import SOUND, Sound
from .times import tick_of

if TYPE_CHECKING:
    import numpy as np

log = logger()


@dataclass(frozen=True)
class Format:
    """How frames become one kind of film."""

    encoder: str
    pixels: str  # FFmpeg's name of the pixel format
    alpha: str = ""  # its name with alpha, where there is one
    # the encoder's; {crf} and {ahead} are filled in
    options: dict[str, str] = field(default_factory=dict[str, str])
    even: bool = False  # chroma is stored at half size
    deep: bool = False  # more than 8 bits go in
    worst: int = 0  # the highest crf; 0: it has none
    fastest: Fraction | None = None  # frames a second that browsers play as they are told
    ahead: int = 0  # frames that it looks ahead by itself
    # other options for frames that are larger than LARGE
    large: dict[str, str] = field(default_factory=dict[str, str])


WAITING = 5e8  # bytes of frames that an encoder may hold to look ahead
A_PIXEL = 3.1  # bytes that it holds of each: the frame, and what it has found in it
LEAST_AHEAD = 5  # frames, of any size: more than the B-frames in a row
H264_OPTIONS = {"crf": "{crf}", "preset": "medium", "rc-lookahead": "{ahead}"}
H264 = Format(
    "libx264",
    "yuv420p",
    "",
    H264_OPTIONS,
    even=True,
    worst=51,
    ahead=40,
    # which keeps three more frames for each that others are told from: 8K in 0.9 GB, not 6
    large={"rc-lookahead": "2", "bf": "0", "refs": "1"},
)
VP9_OPTIONS = {"crf": "{crf}", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
VP9 = Format(
    "libvpx-vp9",
    "yuv420p",
    "yuva420p",
    {**VP9_OPTIONS, "lag-in-frames": "{ahead}"},
    even=True,
    worst=63,
    ahead=25,
)
PRORES_4444 = Format(
    "prores_ks", "yuv444p10le", "yuva444p10le", {"profile": "4", "vendor": "apl0"}, deep=True
)
PRORES_422 = Format(
    "prores_ks", "yuv422p10le", "", {"profile": "3", "vendor": "apl0"}, even=True, deep=True
)
PRORES = {"prores": PRORES_4444, "prores-422": PRORES_422}

# extension → codec name → format; the first is the default
FORMATS: dict[str, dict[str, Format]] = {
    ".mp4": {"h264": H264},
    ".m4v": {"h264": H264},
    ".mov": {"h264": H264, **PRORES},
    ".mkv": {"h264": H264, "vp9": VP9, **PRORES},
    ".webm": {"vp9": VP9},
    ".gif": {"gif": Format("gif", "pal8", fastest=Fraction(50))},
    ".webp": {
        "webp": Format("libwebp_anim", "bgra", "bgra", {"quality": "90"}, fastest=Fraction(90))
    },
}
MUXER_OPTIONS = {
    **dict.fromkeys(
        (".mp4", ".m4v", ".mov"), {"movflags": "+faststart"}
    ),  # the index in front: plays while it loads
    **dict.fromkeys((".gif", ".webp"), {"loop": "0"}),  # for ever
}


def frames_ahead(format: Format, pixels: int) -> int:
    """How many frames of that size an encoder looks ahead: as many as it does by itself, or as
    memory has room for.
    """
    return min(format.ahead, max(LEAST_AHEAD, int(WAITING / (A_PIXEL * pixels))))


def film_format(path: Path, codec: str | None, crf: int) -> Format:
    """How films of that name are made. Raises InputError for another extension, codec or crf."""
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise InputError(
            f"{path.name} has no clip's extension: {' '.join(FORMATS)} are known; a PNG sequence is"
            " a pattern like frames/%05d.png, a folder ending in /, or any path with codec='png'."
        )
    if codec is not None and codec not in known:
        raise InputError(f"{path.suffix} takes the codecs {', '.join(known)}, not {codec}.")
    format = known[codec or next(iter(known))]
    if format.worst and not 0 <= crf <= format.worst:
        raise InputError(
            f"crf is 0 (no loss) to {format.worst} (the smallest file) in {path.name}, not {crf}."
        )
    return format


@contextmanager
def film(
    path: Path,
    format: Format,
    fps: Fraction,
    crf: int,
    audio_from: Clip | str | os.PathLike[str] | None,
    keep: bool = False,
) -> Generator[Any]:
    """Give a function that takes one frame, H W 3, or H W 4 with straight alpha.

    `keep`: where the work fails, what is finished stays beside the target, playable.
    """
    with written_whole(path) as partial, ExitStack() as stack:
        sound = None
        if audio_from is not None and path.suffix.lower() in SOUND:
            sound = stack.enter_context(closing(Sound(audio_from, path.suffix.lower())))
        encoder = stack.enter_context(closing(_Film(path, partial, format, fps, crf, sound)))
        try:
            yield encoder.encode
        except Exception:
            if keep and encoder.count:
                _keep(encoder, partial, path)
            raise
        encoder.finish()
        if not encoder.count:
            raise MediaError(f"{path} was not written: no frames came.")


def _keep(encoder: _Film, partial: Path, path: Path) -> None:
    with suppress(MediaError):  # a full disk keeps nothing
        encoder.finish()
        kept = kept_unfinished(partial, path)
        log.warning("The %d frames that were finished are kept in %s.", encoder.count, kept)


@contextmanager
def _encoding(path: Path) -> Generator[None]:
    """What an encoder or the system says in the block, as one MediaError."""
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MediaError | InputError):
            raise
        if isinstance(error, MemoryError):  # FFmpeg's own is both
            raise MemoryError(str(error)) from error
        if getattr(error, "errno", None) in REASONS or not isinstance(error, FFmpegError):
            raise cannot_write(path, error) from error
        raise MediaError(f"{path} cannot be encoded: {str(error).rstrip('.')}.") from error


class _Film:
    """One film being made. The first frame opens it: it decides the size."""

    def __init__(
        self,
        path: Path,
        partial: Path,
        format: Format,
        fps: Fraction,
        crf: int,
        sound: Sound | None,
    ) -> None:
        self.path, self.partial, self.format, self.crf = path, partial, format, crf
        self.given, self.sound = fps, sound
        self.fps = min(fps, format.fastest) if format.fastest else fps
        self.count = 0  # frames that came
        self.next = 0  # the first tick that is still free
        self.container: Any = None

    def encode(self, pixels: np.ndarray) -> None:
        with _encoding(self.path):
            if self.container is None:
                self._open(*pixels.shape)
            tick = tick_of(self.count / float(self.given), self.fps)
            if tick >= self.next:  # else it would show too briefly for what plays such files
                for frame in self.convert(self._frame(pixels, tick)):
                    self._mux(frame)
                self.next = tick + 1
            self.count += 1
            if self.sound:  # as far as the picture goes: a player finds them side by side
                self.sound.mux_until(self.count / self.given)

    def finish(self) -> None:
        if self.container is not None:
            with _encoding(self.path):
                for frame in self.convert(None):
                    self._mux(frame)
                self._mux(None)
                self.container.close()

    def close(self) -> None:
        from av.error import FFmpegError

        if self.container is not None:
            with suppress(FFmpegError, ValueError, OSError):
                # nothing to do when finished; when not, the file must be closed before it is
                # deleted
                self.container.close()

    def _open(self, height: int, width: int, channels: int) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self.container = av.open(
            str(self.partial.absolute()),
            "w",
            options=MUXER_OPTIONS.get(self.path.suffix.lower(), {}),
        )
        told = {"crf": self.crf, "ahead": frames_ahead(self.format, height * width)}
        asked = {**self.format.options, **(self.format.large if height * width > LARGE else {})}
        options = {name: value.format(**told) for name, value in asked.items()}
        self.pixels = self.format.alpha if channels == 4 else self.format.pixels
        if self.pixels == "yuva420p":
            options["auto-alt-ref"] = "0"  # VP9 has no alpha with it
        self.stream: Any = self.container.add_stream(
            self.format.encoder, rate=self.fps, options=options
        )
        self.stream.height, self.stream.width, self.stream.pix_fmt = (
            height,
            width,
            self.pixels,
        )
        self.stream.codec_context.time_base = 1 / self.fps  # a frame is a tick: nothing to round
        if self.pixels.startswith("yuv"):
            context = self.stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = (
                context.color_range
            ) = 1  # BT.709, video range
        if self.sound:
            self.sound.open(self.container)
        self.reformat = VideoReformatter().reformat  # one for all: it keeps its tables
        self.convert = (
            _palettes(width, height, 1 / self.fps) if self.pixels == "pal8" else self._reformatted
        )

    def _frame(self, pixels: np.ndarray, tick: int) -> Any:
        from av import VideoFrame

        kinds = ("rgba64le", "rgba") if pixels.shape[-1] == 4 else ("rgb48le", "rgb24")
        kind = kinds[not self.format.deep]
        if pixels.flags.c_contiguous and pixels.flags.writeable:  # where it lies
            frame = VideoFrame.from_numpy_buffer(pixels, kind)
        else:
            frame = VideoFrame.from_ndarray(pixels, format=kind)
        frame.pts, frame.time_base = tick, 1 / self.fps
        return frame

    def _reformatted(self, frame: Any) -> list[Any]:
        from av.video.reformatter import ColorRange, Colorspace

        if frame is None:
            return []
        if not self.pixels.startswith("yuv"):
            return [self.reformat(frame, format=self.pixels)]
        frame = self.reformat(
            frame,
            format=self.pixels,
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

    def convert(frame: Any) -> Generator[Any]:
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except (BlockingIOError, EOFError):
                return

    return convert
