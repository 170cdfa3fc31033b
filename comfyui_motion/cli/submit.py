"""comfyui-motion submit: a workflow over many inputs, on one or several ComfyUI servers."""

from __future__ import annotations

import argparse
import functools
from dataclasses import replace
from pathlib import Path

from ..jobs.batch import run_batch
from ..jobs.servers import job_of_row, on_servers, read_workflow
from ..jobs.table import read_jobs
from .bar import Bar
from .batch import finish
from .out import Number


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("workflow", metavar="WORKFLOW.json", help="as Export (API) saves it")
    command.add_argument(
        "jobs",
        metavar="JOBS.csv|JOBS.jsonl",
        help="a row a run: columns such as 12.image are inputs of nodes; files are uploaded",
    )
    command.add_argument(
        "-o", "--out", required=True, metavar="DIR", help="where results and report go"
    )
    command.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="given once for each (http://127.0.0.1:8188)",
    )
    command.add_argument(
        "--patience",
        type=Number(0.001, whole=False),
        default=3600,
        metavar="S",
        help="seconds a run may take (3600)",
    )
    command.add_argument("--fresh", action="store_true", help="do again what is done already")


def run(options: argparse.Namespace) -> None:
    """Exit code 2 where a run failed."""
    workflow, out = read_workflow(options.workflow), Path(options.out)
    jobs = [
        replace(job, reads=(*job.reads, Path(options.workflow)))  # another one makes other results
        for job in read_jobs(
            options.jobs,
            functools.partial(job_of_row, workflow, Path(options.jobs).parent, out),
        )
    ]
    engine = functools.partial(
        on_servers,
        addresses=options.server or ["http://127.0.0.1:8188"],
        workflow=workflow,
        patience=options.patience,
    )
    with Bar("submitting", "run") as bar:
        outcomes = run_batch(
            jobs, out, engine, title=Path(options.jobs).name, fresh=options.fresh, progress=bar
        )
    finish(out, outcomes)
