"""A whole batch: what is already done is left, the rest is given to workers, all of it reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..media.files import made_folder
from .job import Job, Journal, Outcome
from .report import write_report

Engine = Callable[[Sequence[Job]], Iterator[Outcome]]  # outcomes as they come, in any order
JOURNAL = "batch.jsonl"


def run_batch(
    jobs: Sequence[Job],
    folder: Path,
    engine: Engine,
    *,
    title: str = "Batch",
    fresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Outcome]:
    """Do what is not done yet, write the journal as it goes and a report at the end, however it
    ends. The outcomes, in the table's order.

    fresh     do everything again
    progress  called with (jobs done or failed, jobs in all); what it raises ends the batch

    Raises MediaError where the folder cannot be made.
    """
    made_folder(folder)
    journal = Journal(folder / JOURNAL)
    found = {} if fresh else {job.name: journal.finished(job) for job in jobs}
    outcomes = {name: outcome for name, outcome in found.items() if outcome is not None}
    open_jobs = {job.name: job for job in jobs if job.name not in outcomes}
    stream = engine(list(open_jobs.values()))
    try:
        for outcome in stream:
            journal.add(open_jobs[outcome.name], outcome)
            outcomes[outcome.name] = outcome
            if progress:
                progress(len(outcomes), len(jobs))
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
        write_report(folder, jobs, list(outcomes.values()), title)
    return [outcomes[job.name] for job in jobs]
