"""One job of a table, what came of it, and the journal that a stopped batch goes on from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError
from ..media.files import writing


@dataclass(frozen=True)
class Job:
    """One row: what is read, what is written, and the rest of its values."""

    name: str  # of its row; unique in the table
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]  # the first is the result, others go with it
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, self.reads, self.writes, dict(self.values))

    @property
    def fingerprint(self) -> str:
        """Changes when a value does, or a file that is read."""
        seen = [(str(path), *_state(path)) for path in self.reads]
        told = json.dumps(
            [seen, [str(path) for path in self.writes], dict(self.values)],
            sort_keys=True,
            default=str,
        )
        return hashlib.sha256(told.encode()).hexdigest()


def _restored(
    name: str, reads: tuple[Path, ...], writes: tuple[Path, ...], values: dict[str, Any]
) -> Job:
    return Job(name, reads, writes, MappingProxyType(values))


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Outcome:
    """What came of one job."""

    name: str
    done: bool
    message: str  # what was made, or the sentence that says why not
    seconds: float
    worker: str
    tries: int


ENTRY = {
    "fingerprint": str,
    "name": str,
    "done": bool,
    "message": str,
    "seconds": float,
    "worker": str,
    "tries": int,
}  # of a line of the journal, by type


class Journal:
    """A file that gets one line a finished job, so that a batch that was stopped goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._finished = dict(_read(path))

    def finished(self, job: Job) -> Outcome | None:
        """What came of it, if it succeeded, nothing it reads has changed since, and it is there."""
        found = self._finished.get(job.name)
        if found is None or not found[1].done or found[0] != job.fingerprint:
            return None
        return found[1] if all(path.exists() for path in job.writes) else None

    def add(self, job: Job, outcome: Outcome) -> None:
        """On disk before this returns."""
        line = json.dumps({"fingerprint": job.fingerprint, **asdict(outcome)})
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> Iterator[tuple[str, tuple[str, Outcome]]]:
    """The last line of a killed batch may be half a line: it is passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and {n: type(v) for n, v in entry.items()} == ENTRY:
            fingerprint = entry.pop("fingerprint")
            yield entry["name"], (fingerprint, Outcome(**entry))


def check_jobs(jobs: Iterable[Job]) -> None:
    """Raises InputError where two jobs write one file, or one writes what any of them reads."""
    jobs = list(jobs)
    read = {_same(path): job for job in jobs for path in job.reads}
    written: dict[str, Job] = {}
    for job in jobs:
        for path in job.writes:
            other = read.get(_same(path)) or written.get(_same(path))
            if other is not None:
                does = "reads" if _same(path) in read else "also writes"
                raise InputError(
                    f"{job.name} would write {path}, which {other.name} {does}; name another"
                    " output."
                )
            written[_same(path)] = job


def _same(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
