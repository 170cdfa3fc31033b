"""comfyui-motion batch: many pictures by many clips, as a table says."""

from __future__ import annotations

import argparse
import functools
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import torch

from ..devices import shared_out
from ..doors.words import shown
from ..errors import InputError
from ..jobs.batch import run_batch
from ..jobs.job import Job, Outcome
from ..jobs.on_ray import on_ray
from ..jobs.report import summary
from ..jobs.table import Row, read_jobs
from ..jobs.workers import in_processes
from ..media.files import made_folder
from ..model import MotionModel
from . import animate
from .bar import Bar
from .loading import load_model
from .out import Number, say
from .stopping import WITH_WORKERS, stoppable

GRACE = WITH_WORKERS
OF_A_WORKER = 0.3  # seconds that a job has to clear up behind itself
READ = ("source", "driving")
FURTHER = ("reference", "driver", "plate")  # which may be files as well
WRITTEN = ("output", "occlusion", "preview")
ENGINES = ("processes", "ray")


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "jobs",
        metavar="JOBS.csv|JOBS.jsonl",
        help="a row an animation: source, driving, and any option of animate by its long name;"
        " names of files are relative to the table",
    )
    command.add_argument(
        "-o", "--out", required=True, metavar="DIR", help="where results and report go"
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="jobs at once (one a GPU, else one)"
    )
    command.add_argument(
        "--device",
        action="append",
        default=[],
        help="of the workers, given once for each: cpu, cuda:0, cuda:1 ... (every GPU there is)",
    )
    command.add_argument(
        "--threads",
        type=Number(1, 1024),
        metavar="N",
        help="of the processor, for each worker (a fair share)",
    )
    command.add_argument(
        "--engine", choices=ENGINES, default="processes", help="what runs the workers (processes)"
    )
    command.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster (this machine, as its own cluster)"
    )
    command.add_argument("--fresh", action="store_true", help="do again what is done already")


def run(options: argparse.Namespace) -> None:
    """The whole table is checked before the first job starts; exit code 2 where a job failed."""
    out = Path(options.out)
    jobs = read_jobs(options.jobs, functools.partial(job_of, Path(options.jobs).parent, out))
    for job in jobs:
        for path in job.writes:
            made_folder(path.parent)
    devices = shared_out(options.device, options.workers)
    threads = options.threads or max(1, (os.cpu_count() or 1) // len(devices))
    work = functools.partial(perform_job, threads=threads)

    def engine(left: Sequence[Job]) -> Iterator[Outcome]:
        if options.engine == "ray":
            return on_ray(left, work, len(devices), devices[0], options.address)
        return in_processes(left, work, devices)

    title = Path(options.jobs).name
    with Bar("animating", "job") as bar:
        outcomes = run_batch(jobs, out, engine, title=title, fresh=options.fresh, progress=bar)
    finish(out, outcomes)


def finish(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Tell where the report is. Raises InputError, which ends the command with 2, where any job
    failed.
    """
    say(f"{out / 'report.html'}: {summary(outcomes)}")
    failed = [outcome for outcome in outcomes if not outcome.done]
    if failed:
        for outcome in failed:
            say(f"  {outcome.name}: {outcome.message}", file=sys.stderr)
        raise InputError(f"{len(failed)} of {len(outcomes)} jobs failed.")


def beside(folder: Path, value: Any) -> str:
    """A value that may be a file, or a number and a file (2=other.mp4), from the table's folder."""
    number, equals, name = str(value).rpartition("=")
    return f"{number}{equals}{folder / name}" if os.path.exists(folder / name) else str(value)


class RowParser(argparse.ArgumentParser):
    """What is wrong with a row is an error of the library, not the end of the program."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


@functools.lru_cache(maxsize=1)
def _parser() -> RowParser:
    parser = RowParser(prog="row", add_help=False, allow_abbrev=False)
    animate.add_options(parser)
    return parser


def job_of(folder: Path, out: Path, name: str, row: Row) -> Job:
    """A row as a job. Raises InputError for what animate would refuse at once."""
    for needed in READ:
        if not row.get(needed):
            raise InputError(f"it names no {needed}.")
    strange = [k for k, value in row.items() if not isinstance(value, str | int | float)]
    if strange:
        raise InputError(f"{shown(strange[0])} is {shown(row[strange[0]])}, and no plain value.")
    number = int(name.rpartition(" ")[2])
    placed = {key: folder / str(row[key]) for key in READ}
    further = {key: beside(folder, row[key]) for key in FURTHER if row.get(key)}
    default = f"{number:04d}-{placed['source'].stem}-{placed['driving'].stem}.mp4"
    made = {"output": default, "preview": f"sheets/{number:04d}.png"}
    made |= {key: str(row[key]) for key in WRITTEN if row.get(key)}
    results = {key: _within(out, key, name) for key, name in made.items()}
    values = {**row, **placed, **further, **results}
    options = parsed(values)
    if options.workers is not None:
        raise InputError("its jobs run side by side already; leave workers out of the table.")
    for path in placed.values():
        if "%" not in path.name and not os.path.exists(path):  # which takes any name
            raise InputError(f"{path} does not exist.")
    writes = [results[key] for key in WRITTEN if key in results]
    reads = *placed.values(), *(Path(path) for _, path in options.driver)
    return Job(name, reads, tuple(writes), {k: str(v) for k, v in values.items()})


def _within(out: Path, key: str, name: str) -> Path:
    """Where a row's result goes. Raises InputError for what leads out of the folder of results: a
    table may be another's, and overwrites what it made before.
    """
    target = os.path.normpath(out / name)
    if not Path(target).is_relative_to(os.path.normpath(out)) or target == os.path.normpath(out):
        raise InputError(f"{key} is {name}, which does not lie within {out}; name a file there.")
    return Path(target)


def parsed(values: Mapping[str, Any]) -> argparse.Namespace:
    """A row's values as animate's options. Raises InputError."""
    words = [w for key, value in values.items() if key not in READ for w in _words(key, value)]
    return _parser().parse_args([*words, "--", *(str(values[key]) for key in READ)])


def _words(key: str, value: Any) -> list[str]:
    """One value as the command line has it: switches are true or false in a table."""
    flag = "--" + key.replace("_", "-")
    action = _parser()._option_string_actions.get(flag)
    if action is None or action.nargs != 0:
        return [f"{flag}={value}"]
    switch = str(value).lower()
    if switch not in ("true", "false"):
        raise InputError(f"{key} is true or false, and is {value!r}.")
    opposite = isinstance(action, argparse.BooleanOptionalAction)
    return [flag] if switch == "true" else ["--no" + flag[1:]] if opposite else []


@functools.lru_cache(maxsize=1)
def _loaded(key: tuple[Any, ...]) -> MotionModel:
    return load_model(argparse.Namespace(**dict(key)))


def _kept(options: argparse.Namespace) -> MotionModel:
    """The model, loaded once by a worker for all the jobs that ask for the same one."""
    told = {name: getattr(options, name) for name in ("model", "device", "dtype", "speed")}
    return _loaded((*told.items(), ("set", tuple(options.set))))


def perform_job(job: Job, device: str, threads: int) -> str:
    """One job, in a worker. What was made."""
    torch.set_num_threads(threads)
    options = parsed(job.values)
    options.device = options.device or device
    options.overwrite = True  # what an earlier try left is its own
    said = io.StringIO()
    with redirect_stdout(said), stoppable(OF_A_WORKER, aloud=False):
        animate.run(options, load=_kept)
    return said.getvalue().partition("\n")[0]
