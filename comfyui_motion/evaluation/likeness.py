"""Does the picture do what the driver does? Mouth, lids and head, measured again in the result.

A model moves a picture by a clip; the finder of faces reads both, and the two performances are
compared: how far mouths and lids open from their own rest, how heads turn about their own middle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from .. import InputError, MotionModel, Options, contact_sheet, perform

SHOWN = 4  # moments on a sheet
HEIGHT = 256
FORMAT = "comfyui_motion.likeness"
HEADINGS = ("mouth", "r", "lids", "r", "yaw", "r", "pitch", "roll", "seen")


@dataclass(frozen=True)
class Likeness:
    """Of one picture moved by one clip: mean errors, and correlations over time."""

    model: str
    pair: str
    frames: int
    mouth: float  # opening from rest, in distances of the eyes
    mouth_correlation: float
    lids: float  # opening, as a share of one's own open eye
    lids_correlation: float
    yaw: float  # degrees, about the mean
    yaw_correlation: float
    pitch: float
    roll: float
    seen: float  # share of the driver's face's frames in which the result's face is seen

    def row(self) -> list[str]:
        told = [f"{self.mouth:.3f}", f"{self.mouth_correlation:.2f}", f"{self.lids:.3f}"]
        told += [f"{self.lids_correlation:.2f}", f"{self.yaw:.1f}", f"{self.yaw_correlation:.2f}"]
        return [*told, f"{self.pitch:.1f}", f"{self.roll:.1f}", f"{self.seen:.0%}"]


@torch.no_grad()
def likeness(
    model: MotionModel,
    finder: Any,
    source: Tensor,
    driving: Any,
    name: str = "",
    pair: str = "",
    options: Options | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[Likeness, Tensor]:
    """How alike the performances are, and a sheet of the driver above the result: where the mouth
    is widest, the lids lowest, the head furthest turned. 1 3 h w

    finder   finds and reads faces: `registry.face_finder()`
    source   1 3 H W in 0..1
    driving  a clip that can be read more than once

    Raises InputError where picture or clip shows no face.
    """
    still = finder.read([source])
    driver = finder.read(batches_of(driving))
    if not still.found.any() or not driver.found.any():
        raise InputError(
            f"There is no face in the {'driving clip' if still.found.any() else 'picture'}, so"
            " there is nothing to compare."
        )
    chosen = options or Options(size="source")
    made: list[Tensor] = []

    def result() -> Iterable[Tensor]:
        for step in perform(model, source, driving, chosen, progress):
            made.extend(small(frame[None]) for frame in step.frames)
            yield step.frames

    read = finder.read(result())
    moments = telling(driver)
    shown = [small(frame[None]) for frame in frames_at(driving, moments)]
    sheet = contact_sheet([torch.cat(shown), torch.cat([made[i] for i in moments])], HEIGHT)
    return compared(name, pair, still, driver, read), sheet


def compared(name: str, pair: str, still: Any, driver: Any, read: Any) -> Likeness:
    """By the readings of the picture, of the driver and of the result."""
    both = driver.found & read.found
    wanted = driver.mouth - rest(driver.mouth, driver.found, 0.1)
    got = read.mouth - still.mouth[0]
    lids = driver.lids / rest(driver.lids, driver.found, 0.75).clamp(min=1e-3)
    shut = read.lids / still.lids[0].clamp(min=1e-3)
    turned, turns = (about_mean(values.angles[both]) for values in (driver, read))
    return Likeness(
        model=name,
        pair=pair,
        frames=len(driver.found),
        mouth=error(wanted[both], got[both]),
        mouth_correlation=correlation(wanted[both], got[both]),
        lids=error(lids[both], shut[both]),
        lids_correlation=correlation(lids[both].mean(1), shut[both].mean(1)),
        yaw=error(turned[:, 0], turns[:, 0]),
        yaw_correlation=correlation(turned[:, 0], turns[:, 0]),
        pitch=error(turned[:, 1], turns[:, 1]),
        roll=error(turned[:, 2], turns[:, 2]),
        seen=float(both.sum() / driver.found.sum()),
    )


def rest(values: Tensor, found: Tensor, share: float) -> Tensor:
    """What a driver's value is at rest: that share of its frames lies below. T ... -> ..."""
    return values[found].quantile(share, dim=0)


def about_mean(values: Tensor) -> Tensor:
    return values - values.mean(0)


def error(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean())


def correlation(one: Tensor, other: Tensor) -> float:
    """0 where one of them does not change."""
    one, other = about_mean(one), about_mean(other)
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-9))


def telling(driver: Any) -> list[int]:
    """Frames worth looking at: the widest mouth, the lowest lids, the head furthest to
    both sides.
    """
    there = driver.found.float()
    yaw = driver.angles[:, 0] - driver.angles[driver.found, 0].median()
    scores = (driver.mouth, -driver.lids.amin(1), yaw, -yaw)
    return [int(torch.where(there > 0, score, -torch.inf).argmax()) for score in scores][:SHOWN]


def batches_of(driving: Any) -> Iterable[Tensor]:
    return [driving] if isinstance(driving, Tensor) else driving


def frames_at(driving: Any, numbers: Sequence[int]) -> list[Tensor]:
    """Those frames of a clip, in that order. 3 H W each"""
    wanted, found, first = set(numbers), {}, 0
    for batch in batches_of(driving):
        found |= {first + i: batch[i] for i in range(len(batch)) if first + i in wanted}
        first += len(batch)
    return [found[number] for number in numbers]


def small(frame: Tensor) -> Tensor:
    """To keep. 1 3 H W"""
    height, width = frame.shape[-2:]
    scale = min(1.0, HEIGHT / height)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return torch.nn.functional.interpolate(frame.float().cpu(), size=size, mode="area")


@dataclass(frozen=True)
class Table:
    """Several models on several pairs."""

    rows: list[Likeness] = field(default_factory=list)

    def text(self) -> str:
        """Errors, and correlations (r) beside them."""
        lines = [["model", "picture moved by clip", "frames", *HEADINGS]]
        lines += [[row.model, row.pair, str(row.frames), *row.row()] for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": 1, "rows": [asdict(r) for r in self.rows]})
