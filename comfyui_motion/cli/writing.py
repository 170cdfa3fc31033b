"""The films and sequences a command writes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ..errors import InputError
from ..media.clip import Clip
from ..media.encode import FORMATS
from ..media.files import check_target
from ..media.naming import WRITTEN, sequence_pattern
from ..media.picture import check_extension
from ..media.places import check_folder, check_places
from ..media.sequence import check_sequence
from ..media.video import VideoWriter
from ..passes.options import Options as PassOptions


def check_outputs(options: argparse.Namespace) -> None:
    """Refuse, before any work, targets that cannot be written, that are one another, or that are
    what is read. Raises InputError, MediaError.
    """
    given = vars(options)
    outputs = {f"--{name}": given.get(name) for name in ("output", "occlusion", "preview")}
    inputs = {
        "the picture": options.source,
        "the clip": options.driving,
        **{f"--{name}": given.get(name) for name in ("model", "finder", "mask", "plate")},
        "--reference": reference if isinstance(reference := given.get("reference"), Path) else None,
        **{f"--driver {number}": path for number, path in given.get("driver") or ()},
    }
    check_places(outputs, inputs, options.codec)
    if given.get("plate") and not given.get("passes"):
        raise InputError("--plate is a pass: say where passes go with --passes, or leave it out.")
    if given.get("passes"):
        check_folder(given["passes"], PassOptions().name, inputs)
    if given.get("preview"):
        check_extension(given["preview"])
    films = [film for name in ("output", "occlusion") if (film := given.get(name))]
    if options.bits == 16 and not any(sequence_pattern(path, options.codec) for path in films):
        raise InputError(
            "--bits 16 is for PNG sequences; films have their codec's own depth. Name a pattern"
            " like frames/%05d.png, or leave it out."
        )
    for name, path in outputs.items():
        pattern = sequence_pattern(path, options.codec) if path and name != "--preview" else None
        if pattern:
            check_sequence(pattern, options.overwrite)
        elif path:
            check_target(path)


def writers(
    options: argparse.Namespace, clip: Clip, stack: ExitStack
) -> Callable[..., VideoWriter]:
    def open_writer(path: str, sound: bool) -> VideoWriter:
        sequence = sequence_pattern(path, options.codec) is not None
        return stack.enter_context(
            VideoWriter(
                path,
                clip.fps,
                audio_from=clip if sound and clip.has_audio and not options.no_audio else None,
                codec=options.codec,
                crf=options.crf,
                bits=options.bits if sequence else 8,
                overwrite=options.overwrite,
                keep=True,
            )
        )

    return open_writer


def is_still(path: str) -> bool:
    """Whether one picture is to be written, not a sequence of them and not a film."""
    suffix = Path(path).suffix.lower()
    return suffix in WRITTEN and suffix not in FORMATS and sequence_pattern(path) is None
