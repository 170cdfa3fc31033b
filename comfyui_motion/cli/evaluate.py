"""What `comfyui-motion evaluate` does: opens the data and the user's own functions, scores each
model, writes what was found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from torch import Tensor

from .. import (
    InputError,
    MediaError,
    MotionModel,
    read_video,
)
from ..data.clips import (
    PICTURES,
    Clips,
    count_frames,
    frame_paths,
    read_frames,
    read_pair_list,
)
from ..data.puppets.clips import (
    KINDS,
    UNSEEN,
    PuppetClip,
    puppet_clip,
)
from ..evaluation.evaluate import (
    ClipSource,
    Progress,
    evaluate,
    own_size,
)
from ..evaluation.report import Report, compare

PUPPETS = "puppets"
LISTED = 20  # clips that are listed one by one on the screen


@dataclass(frozen=True)
class OneClip:
    """A film, an animated picture, a strip, or a folder or pattern of frames."""

    path: Path

    @property
    def names(self) -> Sequence[str]:
        return (self.path.name,)

    def video(self, number: int) -> Any:
        strip = self.path.is_file() and self.path.suffix.lower() in PICTURES
        return (
            read_frames(self.path, range(count_frames(self.path)))
            if strip
            else read_video(self.path)
        )


class PuppetClips:
    """Drawn clips that no training has seen, each kind in turn, with their truth."""

    def __init__(self, count: int, frames: int, size: int, kinds: Sequence[str] = KINDS) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise InputError(
                f"Puppets are of the kinds {', '.join(KINDS)}, and {', '.join(unknown) or 'none'}"
                " was asked for."
            )
        if count < 1 or frames < 2:
            raise InputError(
                f"Puppets move in 1 clip or more, of 2 frames or more; {count} of {frames} were"
                " asked for."
            )
        self.frames, self.size = frames, size
        self.groups = [kinds[i % len(kinds)] for i in range(count)]
        self.names = [f"{kind} {UNSEEN + i}" for i, kind in enumerate(self.groups)]
        self.truth = lru_cache(maxsize=2)(self._draw)

    def _draw(self, number: int) -> PuppetClip:
        return puppet_clip(UNSEEN + number, self.frames, self.size, self.groups[number])

    def video(self, number: int) -> Tensor:
        return self.truth(number).frames


def open_data(data: str, size: int, clips: int, frames: int, kinds: Sequence[str]) -> ClipSource:
    """What --data names: "puppets", a folder of clips (its test/, where it has one), or one clip.

    Raises MotionError.
    """
    if data == PUPPETS:
        return PuppetClips(clips, frames, size, kinds)
    path = Path(data)
    if not path.is_dir():
        return OneClip(path)
    try:
        return Clips(path, "test")
    except InputError:
        if frame_paths(path):  # pictures none of which is a strip: the frames of one clip
            return OneClip(path)
        raise


def named_function(text: str, what: str) -> Callable[..., Any]:
    """The user's own function, given as module:function; modules are looked for in the working
    folder too. Raises InputError.
    """
    module, colon, function = text.partition(":")
    if not (module and colon and function):
        raise InputError(
            f"The {what} is given as module:function, such as landmarks:find for find() in"
            f" landmarks.py, and not as {text!r}."
        )
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found = resolve_name(text)
    except Exception as error:  # what a user's module raises when it is loaded cannot be foreseen
        raise InputError(
            f"The {what} {text} could not be loaded ({type(error).__name__}: {error})."
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(found):
        raise InputError(
            f"The {what} {text} is {type(found).__name__}, and a function of frames was expected."
        )
    return found


def load_all(paths: Sequence[str], load: Callable[[str], MotionModel]) -> dict[str, MotionModel]:
    """The models by short names, that differ."""
    models: dict[str, MotionModel] = {}
    for path in paths:
        stem = (
            Path(path).name.removesuffix(".tar").removesuffix(".pth").removesuffix(".safetensors")
        )
        same = sum(name == stem or name.startswith(f"{stem}-") for name in models)
        models[f"{stem}-{same + 1}" if stem in models else stem] = load(path)
    return models


@dataclass(eq=False)
class Evaluation:
    """One run of the command: some models, one set of clips, one folder."""

    models: Mapping[str, MotionModel]
    clips: ClipSource
    out: Path
    settings: Mapping[str, Any]  # of `evaluate`
    reports: list[Report] = field(default_factory=list)

    @staticmethod
    def plan(models: Mapping[str, MotionModel], options: Any) -> Evaluation:
        """By the command's options. What cannot be is refused here, before anything is computed."""
        size = options.size or own_size(*models.values())
        settings = {
            "mode": options.mode,
            "size": size,
            "batch_size": options.batch,
            "detector": named_function(options.detector, "detector") if options.detector else None,
            "embedder": named_function(options.embedder, "embedder") if options.embedder else None,
            "limit": options.limit,
            "frames": options.frames,
            "pairs": read_pair_list(options.pairs) if options.pairs else None,
        }
        clips = open_data(options.data, size, options.clips, options.frames or 16, options.kinds)
        out = Path(options.out)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(
                f"The folder {out} cannot be made ({error}); name another with --out."
            ) from error
        return Evaluation(models, clips, out, settings)

    def score(self, name: str, progress: Progress | None = None) -> str:
        """One model: measured, written as NAME.json, NAME.txt and NAME.png, and what there is to
        say.
        """
        report = evaluate(
            self.models[name], self.clips, progress=progress, name=name, **self.settings
        )
        write(report, self.out)
        self.reports.append(report)
        return (
            report.table()
            if len(report.clips) <= LISTED
            else f"{report.title()}\n\n{compare([report])}\n{report.notes()}"
        )

    def summary(self) -> str:
        """The models side by side, and where everything is."""
        compared = f"{compare(self.reports)}\n\n" if len(self.reports) > 1 else ""
        return (
            f"{compared}written to {self.out}:"
            f" {', '.join(f'{report.model}.json, .txt and .png' for report in self.reports)}"
        )


def write(report: Report, out: Path) -> None:
    """Each file whole or not at all."""
    _whole(
        out / f"{report.model}.json",
        lambda path: path.write_text(report.to_json(), encoding="utf-8"),
    )
    _whole(
        out / f"{report.model}.txt",
        lambda path: path.write_text(report.table() + "\n", encoding="utf-8"),
    )
    _whole(out / f"{report.model}.png", lambda path: report.sheet().save(path))


def _whole(path: Path, save: Callable[[Path], Any]) -> None:
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        save(partial)
        os.replace(partial, path)
    except OSError as error:
        raise MediaError(f"{path} cannot be written ({error}).") from error
    finally:
        partial.unlink(missing_ok=True)
