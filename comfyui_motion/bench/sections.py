"""The report of a device put together: each section in a process of its own, its rows written as
they come, so that one that crashes or hangs loses nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ..doors.words import logger
from ..errors import InputError
from ..media.files import write_text
from .gpu import SECTIONS, Plan, begun, finished, report
from .measure import machine
from .report import page, update_readme

Row = dict[str, Any]
GRACE = 30.0  # seconds for a process to end by itself, as far as the whole time reaches


def measure_device(
    folder: Path, device: torch.device, minutes: float, section: str | None, checkout: Path
) -> Path:
    """gpu-NAME.json and gpu-NAME.md in the folder, NAME being the device's, and of a GPU the
    README's section. Returns the .md.

    section  this one alone, in this process; None: all of them, each in its own

    Raises InputError outside a checkout.
    """
    if not (checkout / "tests" / "golden").is_dir() or not (checkout / "samples").is_dir():
        raise InputError(
            "The report needs the recorded cases and the samples of a checkout: run it in the"
            " repository's folder."
        )
    plan = (Plan.small if device.type == "cpu" else Plan)(minutes=minutes)
    name = re.sub(r"[^a-z0-9]+", "-", machine(device).partition(",")[0].lower()).strip("-")
    file = folder / f"gpu-{name}.json"
    if section is not None:
        before = read(file) or begun(plan, device)
        made = report(plan, device, checkout, lambda row: keep(file, before, row), (section,))
        keep(file, before, made)
    else:
        keep(file, begun(plan, device), {})
        _each_by_itself(file, device, plan)
    if device.type != "cpu":
        update_readme(checkout / "README.md", read(file) or {}, file.stem)
    return file.with_suffix(".md")


def read(file: Path) -> Row | None:
    """A report as it was written; None where there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def keep(file: Path, before: Row, now: Row) -> None:
    """The report, with the sections that were measured now in place of theirs."""
    made = before | {name: rows for name, rows in now.items() if name in SECTIONS and rows}
    again = {name for name in SECTIONS if now.get(name) or name in now.get("left_out", ())}
    left = set(now.get("left_out", ())) | (set(before["left_out"]) - again)
    made = finished(made | {"left_out": [name for name in SECTIONS if name in left]})
    write_text(file, json.dumps(made, indent=1))
    write_text(file.with_suffix(".md"), page(made))


def _each_by_itself(file: Path, device: torch.device, plan: Plan) -> None:
    start, share = time.monotonic(), 0.0
    for name, part in SECTIONS.items():
        share += part
        spent = time.monotonic() - start
        seconds = 60 * plan.minutes * share - spent
        latest = min(seconds + GRACE, 60 * plan.minutes - spent)
        told = _section(name, file.parent, device, seconds, latest) if seconds > 0 else None
        found = read(file) or {}
        if told is not None:
            logger().warning("A part of the report failed: %s: %s", name, told)
            keep(file, found, {name: [*found[name], {"failed": told}]})
        elif seconds <= 0:
            keep(file, found, {"left_out": [name]})


def _section(
    name: str, folder: Path, device: torch.device, seconds: float, latest: float
) -> str | None:
    """What went wrong with it, as a sentence. It is to take so many seconds, and may take more."""
    command = [sys.executable, "-m", "comfyui_motion", "bench", "--gpu", "--section", name]
    command += ["-o", str(folder), "--device", str(device), "--minutes", str(seconds / 60)]
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=latest)
    except subprocess.TimeoutExpired:
        return f"it had not ended {latest:.0f} seconds after it began, and was stopped"
    return None if done.returncode == 0 else f"its process ended with {done.returncode}"
