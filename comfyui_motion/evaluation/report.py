"""What an evaluation found: values, a table, a JSON file, and a sheet of the moments most worth
looking at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .. import InputError
from ..doors.documents import read_json
from .metrics import Tally, decibels
from .sheet import Moment, Moments, draw

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = "comfyui_motion.evaluation"
VERSION = 1
COLUMNS = {  # value → its heading, how it is written
    "l1": ("L1", "{:.4f}"),
    "l1_over_copying": ("of copying", "{:.3f}"),
    "psnr": ("PSNR dB", "{:.2f}"),
    "ssim": ("SSIM", "{:.3f}"),
    "akd": ("AKD px", "{:.2f}"),
    "mkr": ("MKR", "{:.3f}"),
    "aed": ("AED", "{:.3f}"),
    "flow": ("flow px", "{:.2f}"),
    "moved": ("of px", "{:.2f}"),
    "occlusion_iou": ("hidden IoU", "{:.3f}"),
    "joints": ("joints", "{:.2%}"),
}


@dataclass(frozen=True, eq=False)
class Result:
    """What was measured of one clip."""

    name: str
    group: str
    frames: int
    tallies: Mapping[str, Tally]


@dataclass(frozen=True)
class Scores:
    """One line of a report."""

    name: str
    frames: int
    # what was measured, by the names of COLUMNS, and "copying", the L1 of frame 0 left as it is
    values: Mapping[str, float]

    @staticmethod
    def of(name: str, results: Sequence[Result]) -> Scores:
        """Of all frames of these clips together."""
        keys = dict.fromkeys(key for result in results for key in result.tallies)
        joined = {
            key: Tally.join(result.tallies[key] for result in results if key in result.tallies)
            for key in keys
        }
        measured = {key: tally.value for key, tally in joined.items()}
        values = {key: value for key, value in measured.items() if value is not None}
        if "squared" in values:
            values["psnr"] = decibels(values.pop("squared"))
        if values.get("copying"):
            values["l1_over_copying"] = values["l1"] / values["copying"]
        return Scores(name, sum(result.frames for result in results), values)


@dataclass(frozen=True)
class Report:
    """One model on some clips."""

    model: str
    mode: str
    size: int  # side of the squares that were compared
    akd_by: str  # whose points AKD and MKR are of
    clips: tuple[Scores, ...]
    groups: tuple[Scores, ...]  # where the clips are of several kinds
    total: Scores
    skipped: Mapping[str, str]  # clips left out → why
    moments: tuple[Moment, ...] = field(default=(), compare=False, repr=False)

    @staticmethod
    def of(
        model: str,
        mode: str,
        size: int,
        results: Sequence[Result],
        skipped: Mapping[str, str],
        moments: Moments,
        akd_by: str,
    ) -> Report:
        kinds = dict.fromkeys(result.group for result in results)
        grouped = (
            {kind: [result for result in results if result.group == kind] for kind in kinds}
            if 1 < len(kinds) < len(results)
            else {}
        )
        groups = [Scores.of(f"all {kind}", group) for kind, group in grouped.items()]
        clips = tuple(Scores.of(result.name, [result]) for result in results)
        return Report(
            model,
            mode,
            size,
            akd_by,
            clips,
            tuple(groups),
            Scores.of("all", results),
            dict(skipped),
            tuple(moments.worst_first()),
        )

    def table(self) -> str:
        """A line a clip, then a line a kind, then all."""
        lines = self.clips if len(self.clips) == 1 else (*self.clips, *self.groups, self.total)
        return f"{self.title()}\n\n{table('clip', lines)}\n{self.notes()}"

    def title(self) -> str:
        return (
            f"{self.model}: {self.mode} at {self.size}x{self.size},"
            f" {counted(len(self.clips), 'clip')}, {self.total.frames} frames"
        )

    def notes(self) -> str:
        """What the table's reader must know."""
        lines = [f"AKD: by {self.akd_by}."] if "akd" in self.total.values else []
        if self.skipped:
            first, why = next(iter(self.skipped.items()))
            lines.append(f"{counted(len(self.skipped), 'clip')} left out, the first {first}: {why}")
        return "".join(f"\n{line}" for line in lines)

    def to_json(self) -> str:
        """All but the pictures. A value that is no number is null."""
        document: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        for name in ("model", "mode", "size", "akd_by", "skipped"):
            document[name] = getattr(self, name)
        document |= {
            "total": _row(self.total),
            "groups": [_row(s) for s in self.groups],
            "clips": [_row(s) for s in self.clips],
        }
        return json.dumps(document, indent=1)

    @staticmethod
    def from_json(text: str) -> Report:
        """What `to_json` wrote. Raises InputError for anything else."""
        advice = "give what Report.to_json wrote"
        document = read_json(text, InputError, "This evaluation report", advice)
        try:
            if (document["format"], document["version"]) != (FORMAT, VERSION):
                raise InputError(
                    f"This is {document['format']}, version {document['version']}; {FORMAT},"
                    f" version {VERSION} was expected."
                )
            total, *rest = (
                _scores(row) for row in [document["total"], *document["groups"], *document["clips"]]
            )
            groups, clips = rest[: len(document["groups"])], rest[len(document["groups"]) :]
            named = {
                name: document[name] for name in ("model", "mode", "size", "akd_by", "skipped")
            }
            return Report(clips=tuple(clips), groups=tuple(groups), total=total, **named)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"This is no evaluation report as Report.to_json writes it ({type(error).__name__}:"
                f" {error})."
            ) from error

    def sheet(self) -> Image:
        """The moments, worst first, each with its source, driving frame, result and difference."""
        return draw(self.moments, self.title(), compared=self.mode == "reconstruction")


def counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _row(scores: Scores) -> dict[str, Any]:
    values = {key: value if math.isfinite(value) else None for key, value in scores.values.items()}
    return {**asdict(scores), "values": values}


def _scores(row: Mapping[str, Any]) -> Scores:
    return Scores(
        row["name"],
        row["frames"],
        {key: math.nan if value is None else value for key, value in row["values"].items()},
    )


def table(heading: str, lines: Sequence[Scores]) -> str:
    """Aligned columns of whatever was measured of any of these lines; - where one has no such
    value.
    """
    keys = [key for key in COLUMNS if any(key in line.values for line in lines)]
    rows = [[heading, "frames", *(COLUMNS[key][0] for key in keys)]]
    for line in lines:
        rows.append(
            [
                line.name,
                str(line.frames),
                *(
                    COLUMNS[key][1].format(line.values[key]) if key in line.values else "-"
                    for key in keys
                ),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, others = widths[0], widths[1:]
    return "\n".join(
        "  ".join(
            [row[0].ljust(first), *(cell.rjust(w) for cell, w in zip(row[1:], others, strict=True))]
        )
        for row in rows
    )


def compare(reports: Iterable[Report]) -> str:
    """The totals of several models, kind by kind where there are kinds."""
    reports = list(reports)
    lines = [
        Scores(f"{report.model}, {scores.name}", scores.frames, scores.values)
        for report in reports
        for scores in [*report.groups, report.total]
    ]
    return table("model", lines)
