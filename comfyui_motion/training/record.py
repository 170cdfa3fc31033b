"""What a run leaves to look at: a log, curves, sheets of pictures, measures on what was
held out.
"""

from __future__ import annotations

import csv
import math
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import (
    InputError,
    Keypoints,
    MotionModel,
    contact_sheet,
    draw_keypoints,
    write_picture,
)
from ..data.pairs import Pairs, PairSource
from ..doors.documents import read_text
from ..errors import MediaError, boundary
from .objective import Attempt
from .plot import plot_losses
from .recipe import Recipe, Stage
from .state import Run

MEASURES = ("held_out_l1", "held_out_over_copying")
SHOWN, MEASURED = 6, 4  # pairs of a sheet; batches that are measured


class Record:
    """The log of a folder, cut back to the step that a run goes on from."""

    def __init__(self, folder: Path, recipe: Recipe, step: int) -> None:
        self.folder, self.path = folder, folder / "log.csv"
        against = (
            ["discriminator"]
            if any("adversarial" in s.losses or "matching" in s.losses for s in recipe.stages)
            else []
        )
        names = dict.fromkeys(name for stage in recipe.stages for name in stage.losses)
        self.columns = ["step", "stage", "lr", "total", *names, *against, *MEASURES]
        kept = [row for row in self._rows() if int(row["step"]) <= step]
        with self._writing(), self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(kept)
        self.board = _board(folder) if recipe.tensorboard else None

    def _writing(self) -> AbstractContextManager[None]:
        return boundary(MediaError, f"{self.path} cannot be written ({{reason}}).")

    def write(self, run: Run, stage: Stage) -> None:
        """Means of the losses since the last line."""
        rate = next(group["lr"] / group["factor"] for group in run.optimiser.param_groups)
        self._append({"step": run.step, "stage": stage.name, "lr": rate, **run.means()})

    def write_measured(self, run: Run, measures: dict[str, float]) -> None:
        if measures:
            self._append({"step": run.step, **measures})

    def plot(self) -> None:
        plot_losses(self.path, self.folder / "losses.png")

    def _append(self, row: dict[str, Any]) -> None:
        with self._writing(), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        for name, value in row.items():
            if self.board is not None and isinstance(value, float):
                self.board.add_scalar(name, value, row["step"])

    def _rows(self) -> list[dict[str, str]]:
        """What is written so far. A line that is none, as a power cut leaves it, is left out."""
        if not self.path.exists():
            return []
        text = read_text(self.path, InputError, "delete it, and the log begins anew")
        rows = csv.DictReader(text.replace("\0", "").splitlines())
        with boundary(InputError, f"{self.path} is no log ({{reason}}); delete it."):
            return [
                {name: row.get(name) or "" for name in self.columns} for row in rows if _counts(row)
            ]


def _counts(row: dict[str, Any]) -> bool:
    """Whether the line has a step, and numbers where numbers belong."""
    try:
        return int(row.get("step") or "") >= 0 and all(
            math.isfinite(float(value))
            for name, value in row.items()
            if value and name not in ("step", "stage")
        )
    except (TypeError, ValueError):
        return False


def _board(folder: Path) -> Any:
    """Where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "the recipe asks for TensorBoard, which is not installed; pip install tensorboard, or"
            " leave it out."
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))


@torch.no_grad()
def measure(model: MotionModel, pairs: PairSource, stage: Stage) -> dict[str, float]:
    """Mean absolute difference of predictions, and that over copying the source."""
    made = copied = 0.0
    for number in range(MEASURED):
        batch = _batch(pairs, number, stage.batch, model)
        prediction = _attempt(model, batch, stage).prediction
        made += float((prediction - batch.driving).abs().mean()) / MEASURED
        copied += float((batch.source - batch.driving).abs().mean()) / MEASURED
    return {"held_out_l1": made, "held_out_over_copying": made / max(copied, 1e-9)}


@torch.no_grad()
def draw_sheet(model: MotionModel, pairs: PairSource, stage: Stage, target: Path) -> None:
    """Rows: source and driving frame with their keypoints, prediction, the source as the field
    alone moves it, what is visible.
    """
    batch = _batch(pairs, 0, SHOWN, model)
    attempt = _attempt(model, batch, stage)
    rows = [batch.source, batch.driving, attempt.prediction, attempt.field.warp(batch.source)]
    if attempt.field.occlusion:
        rows.append(
            1 - attempt.field.occlusion_mask(*batch.source.shape[-2:]).expand(-1, 3, -1, -1)
        )
    if isinstance(attempt.driving, Keypoints):
        larger = [
            torch.nn.functional.interpolate(picture, scale_factor=max(1, 192 // picture.shape[-1]))
            for picture in rows[:2]
        ]
        rows[:2] = [
            draw_keypoints(larger[0], attempt.source),
            draw_keypoints(larger[1], attempt.driving),
        ]
    write_picture(contact_sheet([row.float().cpu().clamp(0, 1) for row in rows]), target)


def _batch(pairs: PairSource, number: int, count: int, model: MotionModel) -> Pairs:
    batch = pairs.batch(number, count)
    return Pairs(batch.source.to(model.device), batch.driving.to(model.device), batch.truth)


def _attempt(model: MotionModel, batch: Pairs, stage: Stage) -> Attempt:
    """As in use: keypoints detected, whatever the stage is told."""
    plain = replace(stage, losses={"pyramid": 1.0}, teacher=False)
    return Attempt(model, batch, plain, torch.Generator())
