"""comfyui-motion evaluate: opens the data and the user's own functions, scores each model,
writes what was found.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from .. import (
    InputError,
    MotionModel,
)
from ..data.clips import (
    read_pair_list,
)
from ..evaluation.clips import open_data
from ..evaluation.evaluate import (
    ClipSource,
    Progress,
    evaluate,
    own_size,
)
from ..evaluation.likeness import Table, likeness
from ..evaluation.report import Report, compare
from ..media.files import made_folder, write_text, write_whole
from ..media.picture import read_picture, to_rgb, write_picture
from ..media.video import read_video
from ..registry import face_finder
from .arguments import SPEEDS, assumption_options, words
from .bar import Bar
from .loading import Ahead, load_model
from .out import AT_ONCE, Number, say

LISTED = 20  # clips that are listed one by one on the screen


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="checkpoints or known names; flow is the default model",
    )
    command.add_argument(
        "--data",
        metavar="DIR|FILE|puppets",
        help="a folder of clips, one clip, or drawn clips that know the truth",
    )
    command.add_argument(
        "-o",
        "--out",
        default="evaluation",
        metavar="DIR",
        help="where table, JSON and sheet go (evaluation)",
    )
    command.add_argument(
        "--mode",
        choices=("reconstruction", "animation"),
        default="reconstruction",
        help="a clip out of its first frame, or another's",
    )
    command.add_argument(
        "--pairs",
        metavar="PAIRS.csv",
        help="for animation: columns source and driving, names of clips (at random); without --data"
        " pictures and clips by path: does the face do what the driver's does?",
    )
    command.add_argument(
        "--size",
        type=Number(11, 4096),
        metavar="N",
        help="side of the squares compared (the models' own; 256)",
    )
    command.add_argument("--limit", type=Number(1), metavar="N", help="clips, or pairs, at most")
    command.add_argument(
        "--frames", type=int, metavar="N", help="of each clip at most (all; puppets 16)"
    )
    command.add_argument("--clips", type=int, default=20, metavar="N", help="how many puppets (20)")
    command.add_argument(
        "--kinds",
        type=words,
        default=("face", "figure", "animal", "shape"),
        metavar="face,...",
        help="of puppets (all)",
    )
    command.add_argument(
        "--detector",
        metavar="face|MODULE:FUNCTION",
        help="face: 478 points of the largest face; or your own, N 3 H W in 0..1 to points N K 2"
        " in pixels, NaN if not found (the model's own)",
    )
    command.add_argument(
        "--embedder", metavar="MODULE:FUNCTION", help="N 3 H W in 0..1 to N D, for identity (none)"
    )
    command.add_argument(
        "--batch", type=AT_ONCE, metavar="N", help="frames at a time (by the device)"
    )
    command.add_argument("--device", help="cpu, cuda, mps ... (a GPU where there is one)")
    command.add_argument(
        "--speed",
        choices=SPEEDS,
        default="exact",
        help="as in animate, but exact unless asked otherwise",
    )
    assumption_options(command)
    command.set_defaults(dtype=None)


def run(options: argparse.Namespace) -> None:
    """Models on clips they did not see."""
    models = load_all(
        options.models,
        lambda path: load_model(argparse.Namespace(**{**vars(options), "model": path})),
    )
    if options.data is None:
        faces_alike(models, options)
        return
    evaluation = Evaluation.plan(models, options)
    for name in models:
        with Bar(f"evaluating {name}") as bar:
            said = evaluation.score(name, bar)
        say(f"{said}\n")
    say(evaluation.summary())


def detector_of(text: str) -> Callable[..., Any]:
    """The pack's own points of faces, or the user's function."""
    return face_finder().landmarks if text == "face" else named_function(text, "detector")


def faces_alike(models: Mapping[str, MotionModel], options: argparse.Namespace) -> None:
    """Pictures moved by clips, read again: a table, its numbers, a sheet of each pair."""
    if not options.pairs:
        raise InputError(
            "Give --data, clips to evaluate on, or --pairs, a CSV of pictures and clips whose faces"
            " are compared."
        )
    folder, out = Path(options.pairs).resolve().parent, Path(options.out)
    pairs = [
        tuple(path if Path(path).exists() else folder / path for path in pair)
        for pair in read_pair_list(options.pairs)
    ]
    finder, rows = face_finder(), []
    made_folder(out)
    for name, model in models.items():
        for source, driving in pairs[: options.limit]:
            pair = f"{Path(source).stem} by {Path(driving).stem}"
            picture, clip = to_rgb(read_picture(source)), read_video(driving, stop=options.frames)
            with Bar(f"{name}: {pair}") as bar:
                row, sheet = likeness(
                    model, finder, picture, Ahead(clip, 8), name, pair, progress=bar
                )
            rows.append(row)
            write_picture(sheet, out / f"{name}-{pair.replace(' ', '-')}.png")
    table = Table(rows)
    write_text(out / "likeness.json", table.to_json())
    write_text(out / "likeness.txt", table.text() + "\n")
    say(f"{table.text()}\n\nwritten to {out}: likeness.json, .txt and a sheet of each pair")


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
            "detector": detector_of(options.detector) if options.detector else None,
            "embedder": named_function(options.embedder, "embedder") if options.embedder else None,
            "limit": options.limit,
            "frames": options.frames,
            "pairs": read_pair_list(options.pairs) if options.pairs else None,
        }
        clips = open_data(options.data, size, options.clips, options.frames or 16, options.kinds)
        out = made_folder(options.out)
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
    write_text(out / f"{report.model}.json", report.to_json())
    write_text(out / f"{report.model}.txt", report.table() + "\n")
    write_whole(out / f"{report.model}.png", lambda partial: report.sheet().save(partial))
