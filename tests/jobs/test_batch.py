"""A batch of jobs: checked whole, done by workers that may die, resumed, reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from comfyui_motion import InputError
from comfyui_motion.jobs import on_ray
from comfyui_motion.jobs.batch import JOURNAL, run_batch
from comfyui_motion.jobs.job import Job, Outcome, check_jobs
from comfyui_motion.jobs.table import read_jobs
from comfyui_motion.jobs.workers import _undisturbed, attempt, in_processes

ROOT = Path(__file__).parents[2]


def job(folder: Path, name: str, **values: object) -> Job:
    return Job(name, (), (folder / f"{name}.txt",), values)


def shout(job: Job, device: str) -> str:
    """Writes its value; dies, once or always, where it is told to; or fails."""
    target, value = job.writes[0], job.values.get("say", "")
    if value == "fail":
        raise InputError("This cannot be said.")
    if value == "die once" and not target.with_suffix(".tried").exists():
        target.with_suffix(".tried").touch()
        os._exit(9)
    if value == "die":
        os._exit(9)
    target.write_text(f"{value} on {device}")
    return target.name


BEGUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from comfyui_motion.jobs.job import Job
from comfyui_motion.jobs.workers import in_processes
import working

if __name__ == "__main__":
    target = Path(sys.argv[1])
    list(in_processes([Job("a", (), (target,), {})], working.long, ["cpu"]))
"""
WORKING = """
import os, time
from comfyui_motion.media.files import partial_path, temporary

def long(job, device):
    target = job.writes[0]
    with temporary(partial_path(target)) as partial:
        partial.write_text("half")
        target.with_name("pid").write_text(str(os.getpid()))
        time.sleep(120)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no kill there")
def test_workers_end_with_a_parent_that_is_killed_and_leave_nothing(tmp_path):
    """Also one that is paused when it happens, as soon as it goes on."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "begun.py").write_text(BEGUN)
    (tmp_path / "working.py").write_text(WORKING)
    words = [sys.executable, tmp_path / "begun.py", out / "a.txt", tmp_path]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}) as parent:
        until(lambda: (out / "pid").exists() and (out / "pid").read_text())
        worker = int((out / "pid").read_text())
        os.kill(worker, signal.SIGSTOP)
        until(lambda: state(worker) in "TX")  # which is not at once
        parent.kill()
    assert len(list(out.iterdir())) == 2
    os.kill(worker, signal.SIGCONT)
    until(lambda: [path.name for path in out.iterdir()] == ["pid"])
    until(lambda: state(worker) in "ZX")


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def state(number: int) -> str:
    """Of a process: T is paused, Z has ended and nobody asked how, X is gone (as in /proc)."""
    try:
        told = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return "X"
    return told.rpartition(")")[2].split()[0]


def test_a_signal_that_comes_while_a_worker_is_started_is_answered_after_it():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with _undisturbed():
            signal.raise_signal(signal.SIGTERM)
            assert not heard
        assert heard == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def here(jobs):
    return (attempt(shout, job, "cpu", 1) for job in jobs)


def test_a_killed_worker_loses_nothing_but_its_try(tmp_path):
    values = ("a", "die once", "fail", "die", "b")
    jobs = [job(tmp_path, f"j{i}", say=value) for i, value in enumerate(values)]
    found = {outcome.name: outcome for outcome in in_processes(jobs, shout, ["cpu:0", "cpu:1"])}
    assert [found[f"j{i}"].done for i in range(5)] == [True, True, False, False, True]
    assert found["j1"].tries == 2
    assert found["j2"].message == "This cannot be said."
    assert "died 2 times" in found["j3"].message and "9" in found["j3"].message
    assert (tmp_path / "j1.txt").read_text().startswith("die once on cpu:")


def test_a_batch_goes_on_where_it_was_and_does_again_what_changed(tmp_path):
    out = tmp_path / "out"
    read = tmp_path / "in.txt"
    read.write_text("1")
    jobs = [Job("a", (read,), (tmp_path / "a.txt",), {"say": "a"}), job(tmp_path, "b", say="fail")]
    assert [outcome.done for outcome in run_batch(jobs, out, here)] == [True, False]
    asked: list[str] = []

    def engine(jobs):
        asked.extend(job.name for job in jobs)
        return here(jobs)

    run_batch(jobs, out, engine)
    assert asked == ["b"]  # what failed is tried again
    read.write_text("22")
    run_batch(jobs, out, engine)
    assert asked == ["b", "a", "b"]
    (tmp_path / "a.txt").unlink()
    run_batch(jobs, out, engine)
    assert asked[3:] == ["a", "b"]
    run_batch(jobs, out, engine, fresh=True)
    assert asked[5:] == ["a", "b"]


def test_half_a_line_in_the_journal_is_passed_over(tmp_path):
    jobs = [job(tmp_path, "a", say="a")]
    run_batch(jobs, tmp_path, here)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"name": "b", "fing')
    assert run_batch(jobs, tmp_path, lambda jobs: iter(()))[0].done


def test_a_batch_that_is_stopped_leaves_its_journal_and_its_report(tmp_path):
    jobs = [job(tmp_path, name, say=name) for name in "abc"]

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(jobs, tmp_path, here, progress=stop)
    told = json.loads((tmp_path / "report.json").read_text())
    assert [entry["name"] for entry in told["jobs"]] == ["a", "b"]
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 2


def test_the_page_shows_names_as_text(tmp_path):
    jobs = [Job("<b>row</b>", (), (tmp_path / "x.txt",), {"say": "fail"})]
    run_batch(jobs, tmp_path, here, title="<script>")
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page and "<b>row" not in page
    assert "This cannot be said." in page and "0 of 1 jobs done, 1 failed." in page


def test_no_job_writes_what_another_reads_or_writes(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    with pytest.raises(InputError, match="x also writes"):
        check_jobs([Job("x", (), (a,)), Job("y", (), (tmp_path / "." / "a",))])
    with pytest.raises(InputError, match="y reads"):
        check_jobs([Job("x", (), (a,)), Job("y", (a,), (b,))])


def test_every_wrong_row_is_named_before_anything_starts(tmp_path):
    def made(name, row):
        if "bad" in row.values():
            raise InputError("this value is bad")
        return Job(name, (), (tmp_path / name,), row)

    table = tmp_path / "jobs.csv"
    table.write_text("source,strength\na.png,\nbad,1\nc.png,bad\n")
    with pytest.raises(InputError, match=r"2 of 3 rows.* row 3: this value is bad row 4"):
        read_jobs(table, made)
    table.write_text("source,strength\na.png,\nb.png,1\n")
    assert [dict(job.values) for job in read_jobs(table, made)] == [
        {"source": "a.png"},
        {"source": "b.png", "strength": "1"},
    ]
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"source": "a.png", "strength": 0.5, "mode": null}\n\n')
    assert dict(read_jobs(lines, made)[0].values) == {"source": "a.png", "strength": 0.5}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.csv", "", "holds no jobs"),
        ("jobs.csv", "a,b\n1\n", "Line 2"),
        ("jobs.csv", 'a,b\n"1,2\n', "no CSV"),
        ("jobs.jsonl", "[1]\n", "no JSON object"),
        ("jobs.jsonl", "{\n", "Line 1 of jobs.jsonl is no JSON"),
        ("jobs.txt", "a", "neither"),
    ],
)
def test_a_table_that_is_none_is_told_in_a_sentence(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_jobs(tmp_path / name, lambda name, row: Job(name, (), ()))


def test_an_outcome_and_a_job_survive_the_way_to_a_worker(tmp_path):
    import pickle

    first = job(tmp_path, "a", say="x")
    again = pickle.loads(pickle.dumps(first))
    assert (again, again.fingerprint) == (first, first.fingerprint)
    outcome = Outcome("a", True, "x", 1.0, "cpu", 1)
    assert pickle.loads(pickle.dumps(outcome)) == outcome


class DeadActor(Exception):
    """What Ray raises of an actor that died."""


class Actor:
    """One of Ray's, here: after a death it refuses whatever comes."""

    def __init__(self, work, device):
        self.work, self.device, self.dead = work, device, False
        self.run = SimpleNamespace(remote=lambda *given: lambda: self.answer(*given))

    def answer(self, job, tries):
        self.dead |= job.values["say"] == "die" or job.values["say"] == "die once" and tries == 1
        if self.dead:
            raise DeadActor("The actor is unavailable.")
        return attempt(self.work, job, self.device, tries)


def test_an_actor_of_ray_that_dies_is_replaced_and_costs_one_try(tmp_path):
    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayActorError=DeadActor),
        remote=lambda **share: lambda cls: SimpleNamespace(remote=Actor),
        wait=lambda asked: (asked[:1], asked[1:]),
        get=lambda asked: asked(),
    )
    values = ("a", "die once", "b", "die", "c", "d")
    jobs = [job(tmp_path, f"j{i}", say=value) for i, value in enumerate(values)]
    (tmp_path / "j1.tried").touch()
    found = {o.name: o for o in on_ray._dealt(ray, jobs, shout, 2, "cpu", 2)}
    assert [found[f"j{i}"].done for i in range(6)] == [True, True, True, False, True, True]
    assert [found[f"j{i}"].tries for i in range(6)] == [1, 2, 1, 2, 1, 1]
    assert "died 2 times" in found["j3"].message
