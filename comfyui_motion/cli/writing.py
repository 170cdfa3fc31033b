"""The films and sequences a command writes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ..errors import InputError
from ..media.clip import Clip
from ..media.video import VideoWriter


def writers(
    options: argparse.Namespace, clip: Clip, stack: ExitStack
) -> Callable[..., VideoWriter]:
    def open_writer(path: str, sound: bool) -> VideoWriter:
        for taken in (options.source, options.driving):
            if Path(path).resolve() == Path(taken).resolve():
                raise InputError(
                    f"The target {path} is also what is to be read; name another target."
                )
        return stack.enter_context(
            VideoWriter(
                path,
                clip.fps,
                audio_from=clip if sound and clip.has_audio and not options.no_audio else None,
                codec=options.codec,
                crf=options.crf,
                bits=options.bits if _is_sequence(path, options.codec) else 8,
                overwrite=options.overwrite,
            )
        )

    return open_writer


def _is_sequence(path: str, codec: str | None) -> bool:
    return codec == "png" or "%" in path or path.endswith("/") or Path(path).is_dir()
