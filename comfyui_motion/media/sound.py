"""The sound of one clip laid under another's frames: copied where the new file takes it as it is,
encoded anew where not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ..errors import MediaError
from .clip import Clip
from .files import existing_file

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


class Sound:
    """Packets of sound for a file of frames, up to any moment asked for. Silent if there is no
    sound in `source`.

    A Clip's sound begins where the clip begins; a file's, with its first frame. Copied sound is cut
    between packets (about 1/50 s).
    """

    def __init__(self, source: Clip | str | os.PathLike, suffix: str) -> None:
        import av
        from av.error import FFmpegError

        self._path = source.path if isinstance(source, Clip) else source
        self._container: Any = None
        self._packets: Iterator[tuple[Fraction, Any]] = iter(())
        self._copied, self._encoder = SOUND[suffix]
        self._next: tuple[Fraction, Any] | None = None
        if isinstance(source, Clip) and not source.has_audio:
            return
        path = existing_file(self._path, "a clip whose sound is wanted")
        try:
            self._container = av.open(str(path.absolute()), metadata_errors="replace")
        except (FFmpegError, OSError, ValueError) as error:
            raise MediaError(
                f"{path} is no clip whose sound could be used, or it is damaged."
            ) from error
        skipped = source.start / source.fps if isinstance(source, Clip) else Fraction(0)
        self._begin = _first_moment(self._container) + skipped

    def open(self, target: Any) -> None:
        """Add the sound's stream to the container being written, before anything is written."""
        if self._container is None or not self._container.streams.audio:
            return
        stream = self._container.streams.audio[0]
        stream.thread_type = "AUTO"
        if stream.codec_context.codec.canonical_name in self._copied:
            self._packets = self._copy(stream, target.add_stream_from_template(stream))
        else:
            rate = 48_000 if self._encoder == "libopus" else stream.codec_context.sample_rate
            encoded = target.add_stream(
                self._encoder,
                rate=rate,
                layout="mono" if stream.codec_context.channels == 1 else "stereo",
            )
            encoded.bit_rate = 192_000
            self._packets = self._encode(stream, encoded)
        self._target = target

    def mux_until(self, seconds: Fraction) -> None:
        """Write what sounds before this moment."""
        from av.error import FFmpegError

        try:
            self._next = self._next or next(self._packets, None)
            while self._next and self._next[0] < seconds:
                self._target.mux(self._next[1])
                self._next = next(self._packets, None)
        except (FFmpegError, ValueError) as error:
            raise MediaError(
                f"the sound of {self._path} cannot be used: {str(error).rstrip('.')}."
            ) from error

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def _copy(self, stream: Any, target: Any) -> Iterator[tuple[Fraction, Any]]:
        offset = round(self._begin / stream.time_base)
        for packet in self._container.demux(stream):
            if packet.pts is None or self._begin and packet.pts + (packet.duration or 0) <= offset:
                continue
            packet.pts -= offset
            packet.dts = packet.pts if packet.dts is None else packet.dts - offset
            packet.stream = target
            yield packet.pts * stream.time_base, packet

    def _encode(self, stream: Any, target: Any) -> Iterator[tuple[Fraction, Any]]:
        for frame in self._frames(stream):
            yield from ((packet.pts * packet.time_base, packet) for packet in target.encode(frame))
        yield from ((packet.pts * packet.time_base, packet) for packet in target.encode(None))

    def _frames(self, stream: Any) -> Iterator[Any]:
        for frame in self._container.decode(stream):
            offset = round(self._begin / frame.time_base)
            if frame.pts + frame.samples / frame.sample_rate / frame.time_base > offset:
                frame.pts -= offset
                yield frame


def _first_moment(container: Any) -> Fraction:
    """When the first frame shows, in seconds: not always 0, and the sound has the same clock."""
    video = container.streams.video
    return (video[0].start_time or 0) * video[0].time_base if video else Fraction(0)
