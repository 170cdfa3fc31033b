"""The sound of one clip laid under another's frames: copied where the new file takes it as it is,
encoded anew where not. It never costs the picture: what cannot be used is left out, and told of.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from ..doors.words import logger
from .clip import Clip
from .decode import moving_picture, open_container
from .files import existing_file

log = logger()

PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"})
ANYWHERE = frozenset({"aac", "mp3"})
EVERYTHING = ANYWHERE | PCM | {"opus", "vorbis", "flac", "alac", "ac3", "eac3"}

# extension → the codecs that players expect there, and the encoder for all others. Few play opus or
# ac3 from an mp4.
SOUND: dict[str, tuple[frozenset[str], str]] = {
    ".mp4": (ANYWHERE, "aac"),
    ".m4v": (ANYWHERE, "aac"),
    ".mov": (ANYWHERE | PCM | {"alac", "ac3"}, "aac"),
    ".mkv": (EVERYTHING, "aac"),
    ".webm": (frozenset({"opus", "vorbis"}), "libopus"),
}
RATE = 48_000  # where the encoder does not take the track's own
TRIED = 30  # packets, to see whether a track can be decoded


class Sound:
    """Packets of sound for a file of frames, up to any moment asked for. Silent if there is no
    sound in `source`, or none that can be decoded.

    A Clip's sound begins where the clip begins; a file's, with its first frame. Copied sound is cut
    between packets (about 1/50 s).
    """

    def __init__(self, source: Clip | str | os.PathLike[str], suffix: str) -> None:
        self._path = Path(source.path if isinstance(source, Clip) else source)
        self._container: Any = None
        self._packets: Iterator[tuple[Fraction, Any]] = iter(())
        self._copied, self._encoder = SOUND[suffix]
        self._next: tuple[Fraction, Any] | None = None
        if isinstance(source, Clip) and not source.has_audio:
            return
        path = existing_file(self._path, "a clip whose sound is wanted")
        self._container = open_container(path, "no clip whose sound could be used")
        self._begin = source.begin if isinstance(source, Clip) else _first_moment(self._container)

    def open(self, target: Any) -> None:
        """Add the sound's stream to the container being written, before anything is written."""
        if self._container is None or not self._container.streams.audio:
            return
        stream = self._usable()
        if stream is None:
            self._leave_out("there is no decoder here for it, or nothing of it can be decoded")
            return
        stream.thread_type = "AUTO"
        known = stream.codec_context.codec.canonical_name in self._copied
        if known and _taken(stream, target.format.name):
            self._packets = self._copy(stream, target.add_stream_from_template(stream))
        else:
            self._packets = self._encode(stream, self._encoding(target, stream.codec_context))
        self._target = target

    def mux_until(self, seconds: Fraction) -> None:
        """Write what sounds before this moment."""
        self._next = self._next or self._following()
        while self._next and self._next[0] < seconds:
            self._target.mux(self._next[1])
            self._next = self._following()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def _usable(self) -> Any:
        """The first track that can be decoded."""
        tracks = [stream for stream in self._container.streams if stream.type == "audio"]
        for track in tracks:
            if track.codec_context is not None and _decodes(self._path, track.index):
                if track is not tracks[0]:
                    log.warning(
                        "%s: its first track of sound cannot be decoded here; track %d is used.",
                        self._path.name,
                        tracks.index(track) + 1,
                    )
                return track
        return None

    def _leave_out(self, why: str) -> None:
        log.warning("%s: its sound is left out, for %s.", self._path.name, why.rstrip("."))

    def _following(self) -> tuple[Fraction, Any] | None:
        """The next packet; none after one that cannot be made."""
        from av.error import FFmpegError

        try:
            return next(self._packets, None)
        except (FFmpegError, ValueError, OSError) as error:
            self._packets = iter(())
            self._leave_out(f"from here on it cannot be used ({str(error).rstrip('.')})")
            return None

    def _copy(self, stream: Any, target: Any) -> Iterator[tuple[Fraction, Any]]:
        """Each packet as it is, once it is known that players can decode it."""
        offset, damaged = round(self._begin / stream.time_base), 0
        for packet in self._container.demux(stream):
            if packet.pts is None or packet.pts + (packet.duration or 0) <= offset:
                continue
            if not _is_sound(packet):
                damaged += 1
                continue
            packet.pts -= offset
            packet.dts = packet.pts if packet.dts is None else packet.dts - offset
            packet.stream = target
            yield packet.pts * stream.time_base, packet
        if damaged:
            log.warning(
                "%s: %d stretches of its sound are damaged, and silent.", self._path.name, damaged
            )

    def _encoding(self, target: Any, track: Any) -> Any:
        """The stream to encode into, at the track's own rate where the encoder takes it."""
        import av

        rates = av.Codec(self._encoder, "w").audio_rates
        rate = RATE if rates and track.sample_rate not in rates else track.sample_rate
        layout = "mono" if track.channels == 1 else "stereo"
        stream = target.add_stream(self._encoder, rate=rate, layout=layout)
        stream.bit_rate = 192_000
        return stream

    def _encode(self, stream: Any, target: Any) -> Iterator[tuple[Fraction, Any]]:
        for frame in self._even(stream, target.codec_context):
            yield from ((packet.pts * packet.time_base, packet) for packet in target.encode(frame))
        yield from ((packet.pts * packet.time_base, packet) for packet in target.encode(None))

    def _even(self, stream: Any, wanted: Any) -> Iterator[Any]:
        """The track from the beginning asked for, without holes, at the wanted rate and layout."""
        resampled, known = None, None
        for frame in self._decoded(stream):
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampled is None or kind != known:
                yield from resampled(None) if resampled else ()
                resampled, known = _resampler(frame, wanted, first=known is None), kind
            yield from resampled(frame)
        yield from resampled(None) if resampled else ()

    def _decoded(self, stream: Any) -> Iterator[Any]:
        """Frames that end after the beginning, timed from it. What is damaged is passed over."""
        for frame in _frames(self._container, stream):
            offset = round(self._begin / frame.time_base)
            if frame.pts is None:
                continue
            if frame.pts + frame.samples / frame.sample_rate / frame.time_base > offset:
                frame.pts -= offset
                yield frame


def _taken(stream: Any, format: str) -> bool:
    """Whether such a file takes the track as it is: mp4, for one, has no MP3 below 16 000 Hz."""
    import av
    from av.error import FFmpegError

    try:
        opened: Any = av.open(io.BytesIO(), "w", format=format)
        with opened as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True


def _is_sound(packet: Any) -> bool:
    from av.error import FFmpegError

    try:
        packet.decode()
    except (FFmpegError, ValueError):
        return False
    return True


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    from av.error import FFmpegError

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except (FFmpegError, ValueError):
            continue


def _resampler(frame: Any, wanted: Any, first: bool) -> Any:
    """Frames like this one → frames at the wanted rate; None flushes.

    Holes become silence (aresample's async), and what comes before 0 is cut off.
    """
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base,
    )
    begin = ":first_pts=0" if first else ""
    resample = graph.add("aresample", f"{wanted.sample_rate}:async=1{begin}")
    shape = f"sample_fmts={wanted.format.name}:channel_layouts={wanted.layout.name}"
    form, sink = graph.add("aformat", shape), graph.add("abuffersink")
    for start, end in ((source, resample), (resample, form), (form, sink)):
        start.link_to(end)
    graph.configure()

    def resampled(frame: Any) -> Iterator[Any]:
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except (BlockingIOError, EOFError):
                return

    return resampled


def _decodes(path: Path, index: int) -> bool:
    """Whether anything of a track can be decoded: a file may hold what no decoder here knows."""
    from av.error import FFmpegError

    try:
        with open_container(path, "no clip") as container:
            for packet in islice(container.demux(container.streams[index]), TRIED):
                try:
                    if packet.decode():
                        return True
                except (FFmpegError, ValueError):
                    continue
    except (FFmpegError, ValueError, OSError):
        return False
    return False


def _first_moment(container: Any) -> Fraction:
    """When the first frame shows, in seconds: not always 0, and the sound has the same clock."""
    video = moving_picture(container)
    return (video.start_time or 0) * video.time_base if video else Fraction(0)
