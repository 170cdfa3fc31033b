"""What became of a batch: JSON for programs, a page for people."""

from __future__ import annotations

import html
import json
import os
import urllib.parse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..media.files import write_text
from .job import Job, Outcome

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em; max-width: 1200px }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #ddd; padding: .4em .8em .4em 0; text-align: left;
  vertical-align: top }}
img {{ max-width: 420px }} .failed {{ color: #b00020 }}
</style></head><body><h1>{title}</h1><p>{summary}</p>
<table><tr><th>job</th><th>result</th><th>seconds</th><th>worker</th><th></th></tr>
{rows}
</table></body></html>
"""


def summary(outcomes: Sequence[Outcome]) -> str:
    """One sentence."""
    failed = sum(not outcome.done for outcome in outcomes)
    told = f"{len(outcomes) - failed} of {len(outcomes)} jobs done"
    return f"{told}, {failed} failed." if failed else f"{told}."


def write_report(
    folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], title: str
) -> tuple[Path, Path]:
    """report.json and report.html in the folder, jobs in the table's order. Raises MediaError."""
    found = {outcome.name: outcome for outcome in outcomes}
    pairs = [(job, found[job.name]) for job in jobs if job.name in found]
    told = [
        {**asdict(outcome), "writes": [str(path) for path in job.writes]} for job, outcome in pairs
    ]
    content = {"title": title, "summary": summary(outcomes), "jobs": told}
    rows = "\n".join(_row(folder, job, outcome) for job, outcome in pairs)
    page = PAGE.format(title=html.escape(title), summary=html.escape(summary(outcomes)), rows=rows)
    paths = folder / "report.json", folder / "report.html"
    for path, text in zip(paths, (json.dumps(content, indent=1), page), strict=True):
        write_text(path, text)
    return paths


def _row(folder: Path, job: Job, outcome: Outcome) -> str:
    kind = "done" if outcome.done else "failed"
    sheets = [path for path in job.writes if path.suffix == ".png" and path.exists()]
    shown = "".join(f'<img src="{_link(folder, path)}" alt="">' for path in sheets)
    result = html.escape(outcome.message)
    if outcome.done and job.writes:
        result = f'<a href="{_link(folder, job.writes[0])}">{result}</a>'
    cells = (html.escape(job.name), f'<span class="{kind}">{result}</span>')
    told = (f"{outcome.seconds:.1f}", html.escape(outcome.worker), shown)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*cells, *told)) + "</tr>"


def _link(folder: Path, path: Path) -> str:
    return html.escape(urllib.parse.quote(os.path.relpath(path, folder).replace(os.sep, "/")))
