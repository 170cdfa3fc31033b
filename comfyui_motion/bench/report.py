"""What a report of a device says: marks, tables, and the README's section made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

Row = dict[str, Any]
BEGIN, END = "<!-- gpu: written by comfyui-motion bench --gpu -->", "<!-- /gpu -->"
SECTIONS = ("whole", "speed", "parity", "compiled", "training", "waits")
DEFAULTS = ("face", "flow")
EXACT = 3e-3  # of a picture's values


def marks(found: Row) -> list[Row]:
    """What was hoped for, and what came out. None: not measured."""
    fomm = {"family": "fomm", "path": "float16", "batch": 16, "size": 256}
    hd = {"model": "face", "height": 1080, "width": 1920}
    networks = [row for row in found["waits"] if row.get("family") not in DEFAULTS]
    at_least = (
        ("FOMM, float16, 16 frames at once, over the plain loop", 15.0, "speed", "ratio", fomm),
        ("the same, share of the measured matrix peak", 0.4, "speed", "share", fomm),
        ("the default at 1920x1080, frames a second", 100.0, "whole", "rate", hd),
    )
    exact = _values(found["parity"], "error", dtype="float32")
    return [
        *(
            _mark(mark, wanted, _values(found[section], key, **which), least=True)
            for mark, wanted, section, key, which in at_least
        ),
        _mark("waits inside a batch of a network", 0, _values(networks, "waits"), least=False),
        _mark("largest error of a recorded picture, float32", EXACT, exact, least=False),
    ]


def _values(rows: Sequence[Row], key: str, **wanted: Any) -> list[float]:
    return [r[key] for r in rows if key in r and all(r.get(n) == v for n, v in wanted.items())]


def _mark(mark: str, wanted: float, values: Sequence[float], least: bool) -> Row:
    best = max(values, default=None)
    met = None if best is None else best >= wanted if least else best <= wanted
    return {"mark": mark, "wanted": wanted, "least": least, "found": best, "met": met}


def page(found: Row) -> str:
    """The report in Markdown, as `benchmarks/results` keeps it."""
    parts = [f"Measured on {found['machine']}.", "", *_marks(found)]
    for name in SECTIONS:
        parts += _table(name, _sound(found[name]))
        parts += [f"\n{_failure(name, r)}" for r in found[name] if "failed" in r]
    if found["left_out"]:
        parts += ["", "Not reached in the time given: " + ", ".join(found["left_out"]) + "."]
    return "\n".join(parts) + "\n"


def _failure(name: str, row: Row) -> str:
    what = ", ".join(f"{key} {value}" for key, value in row.items() if key != "failed")
    return f"{name}, {what}: {row['failed']}" if what else f"{name} ended early: {row['failed']}"


def _sound(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "failed" not in row]


def _marks(found: Row) -> list[str]:
    lines = ["| wanted | found | met |", "|---|---|---|"]
    for mark in found["marks"]:
        shown = "not measured" if mark["found"] is None else f"{mark['found']:.4g}"
        met = {None: "-", True: "yes", False: "no"}[mark["met"]]
        bound = "at least" if mark["least"] else "at most"
        lines.append(f"| {mark['mark']}: {bound} {mark['wanted']:g} | {shown} | {met} |")
    return lines


def _table(name: str, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    columns = list(
        dict.fromkeys(
            key for row in rows for key, value in row.items() if not isinstance(value, dict)
        )
    )
    lines = ["", f"**{name}**", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return lines + [
        "| " + " | ".join(_cell(row.get(c, "")) for c in columns) + " |" for row in rows
    ]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_readme(readme: str, found: Row, name: str) -> str:
    """The README with its section on GPUs made of a report; `name` is that of its files.

    Raises InputError where the README has no such place.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"The README has no place for the report, {BEGIN} to {END}; add it.")
    return f"{before}{BEGIN}\n{section(found, name)}{END}{after}"


def section(found: Row, name: str) -> str:
    """Marks, the defaults end to end, and each family at its fastest, over the plain loop."""
    parts = [f"Measured on {found['machine']}; [all of it](benchmarks/results/{name}.md).", ""]
    parts += _marks(found)
    parts += _table("whole", _sound(found["whole"]))
    parts += _table("speed", _fastest(_sound(found["speed"])))
    return "\n".join(parts) + "\n"


def _fastest(rows: Sequence[Row]) -> list[Row]:
    """Of every family at every size, the fastest way; the plain loop is what it is measured by."""
    best: dict[tuple[Any, Any], Row] = {}
    for row in rows:
        key = row["family"], row["size"]
        if row["path"] != "plain" and (key not in best or row["rate"] > best[key]["rate"]):
            best[key] = row
    shown = ("family", "size", "path", "batch", "rate", "ratio", "share", "memory")
    return [{name: row[name] for name in shown if name in row} for row in best.values()]


def update_readme(path: Path, found: Row, name: str) -> None:
    """Write it there. Raises InputError, MediaError."""
    from ..media.files import write_text

    write_text(path, in_readme(path.read_text(encoding="utf-8"), found, name))
