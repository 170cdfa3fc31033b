"""Tables of jobs: CSV with a head line, or JSON Lines with an object a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..doors.documents import read_text
from ..errors import InputError
from .job import Job, check_jobs

TOLD = 6  # problems named before the rest are counted

Row = Mapping[str, Any]


def read_jobs(path: str | Path, job_of: Callable[[str, Row], Job]) -> list[Job]:
    """Every row as a job, or InputError naming the rows that cannot be run: nothing has begun then.

    job_of  makes a job of a row's name ("row 3") and its values; what is wrong with them it raises
            as InputError
    """
    path = Path(path)
    jobs, wrong = [], []
    for name, row in _rows(path):
        try:
            jobs.append(job_of(name, row))
        except InputError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        more = f"; and {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
        raise InputError(
            f"{len(wrong)} of {len(jobs) + len(wrong)} rows of {path.name} cannot be run, so none"
            f" was started: {' '.join(wrong[:TOLD])}{more}"
        )
    if not jobs:
        raise InputError(f"{path.name} holds no jobs: a head line and at least one row are needed.")
    check_jobs(jobs)
    return jobs


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    text = read_text(path, InputError, "a table of jobs is CSV, TSV or JSON lines")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_lines(path, text)
    elif path.suffix.lower() in (".csv", ".tsv"):
        yield from _lines(path, text, "\t" if path.suffix.lower() == ".tsv" else ",")
    else:
        raise InputError(f"A table of jobs is .csv, .tsv or .jsonl, and {path.name} is neither.")


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, Row]]:
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError(
                    f"Line {reader.line_num} of {path.name} has another number of values than the"
                    f" head line, which names {', '.join(reader.fieldnames or ())}."
                )
            values = {name.strip(): value.strip() for name, value in row.items()}
            yield f"row {reader.line_num}", {name: v for name, v in values.items() if v}
    except csv.Error as error:
        raise InputError(f"Line {reader.line_num} of {path.name} is no CSV: {error}.") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"Line {number} of {path.name} is no JSON: {error}.") from error
        if not isinstance(row, dict):
            raise InputError(f"Line {number} of {path.name} is no JSON object.")
        yield f"row {number}", {name: value for name, value in row.items() if value is not None}
