"""Jobs over processes of this machine. A worker that dies takes nothing with it but its own try."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import MotionError
from ..media.files import discard_unfinished
from .job import Job, Outcome

Work = Callable[[Job, str], str]  # a job and the device of its worker → what was made
END = 0.8  # seconds that workers have to clear up behind themselves when they are stopped
STEP = 0.1  # seconds that are waited at a time
TRIES = 2  # of a job whose worker died under it; one that raised an error is not tried again


def in_processes(
    jobs: Sequence[Job], work: Work, devices: Sequence[str], tries: int = TRIES
) -> Iterator[Outcome]:
    """Every job's outcome as it comes, one process for each device named.

    `work` is a function of a module (it is sent by its name). A job whose worker dies is done again
    by a new worker, `tries` times in all. Closing the iterator stops the workers.
    """
    waiting = deque((job, 1) for job in jobs)
    workers = [_Worker(work, device) for device in devices[: len(jobs)]]
    try:
        while waiting or any(worker.busy for worker in workers):
            for worker in workers:
                if waiting and not worker.busy:
                    worker.take(*waiting.popleft())
            busy = [worker for worker in workers if worker.busy]
            ready = set(wait([handle for worker in busy for handle in worker.handles]))
            for worker in busy:
                if not ready.isdisjoint(worker.handles):
                    job, tried, outcome = worker.job, worker.tries, worker.outcome()
                    if outcome is not None:
                        yield outcome
                    elif tried < tries:
                        assert job is not None  # it was busy
                        waiting.appendleft((job, tried + 1))
                    else:
                        assert worker.lost is not None  # it has just said so
                        yield worker.lost
    finally:
        for worker in workers:
            worker.tell_to_stop()
        wait_for([worker.process for worker in workers if worker.process is not None])
        for worker in workers:
            worker.stop()


def wait_for(processes: Sequence[Any]) -> None:
    """Until they have ended, or the time is over that they have to clear up behind themselves:
    little by little, for while this process is paused, as by Ctrl-Z, they may be as well.
    """
    for _ in range(round(END / STEP)):
        alive = [process.sentinel for process in processes if process.is_alive()]
        if not alive:
            return
        wait(alive, STEP)


def end_all() -> None:
    """Ends every worker, where this process has to end at once."""
    processes = multiprocessing.active_children()
    for process in processes:
        process.terminate()
    wait_for(processes)
    for process in processes:
        process.kill()


def attempt(work: Work, job: Job, device: str, tries: int) -> Outcome:
    """One try. What the library raises is a sentence; anything else is told with its type."""
    begun = time.monotonic()
    try:
        done, message = True, work(job, device)
    except MotionError as error:
        done, message = False, str(error)
    except Exception as error:
        done, message = False, f"{type(error).__name__}: {error}"
    return Outcome(job.name, done, message, time.monotonic() - begun, device, tries)


@dataclass(eq=False)
class _Worker:
    work: Work
    device: str
    process: Any = None
    pipe: Connection | None = None
    job: Job | None = None
    tries: int = 0
    lost: Outcome | None = None  # what to say of a job that its process died under

    @property
    def busy(self) -> bool:
        return self.job is not None

    @property
    def handles(self) -> list[Any]:
        return [self.pipe, self.process.sentinel]

    def take(self, job: Job, tries: int) -> None:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            with _undisturbed(), _unheard():
                self.pipe, far = context.Pipe()
                process = context.Process(
                    target=_serve, args=(far, self.work, self.device), daemon=True
                )
                process.start()
                self.process = process
                far.close()
        assert self.pipe is not None  # it comes with the process
        self.job, self.tries = job, tries
        try:
            self.pipe.send((job, tries))
        except OSError:  # it died between jobs: the wait will tell
            self.process.join()

    def outcome(self) -> Outcome | None:
        """What the worker said, and it is free; None where it died without a word."""
        assert self.pipe is not None and self.job is not None  # it is busy
        try:
            said = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            said = None
        if said is None:
            self.process.join(5)
            why = f"its process ended with {self.process.exitcode}"
            message = f"The worker died {self.tries} times ({why}), out of memory perhaps."
            self.lost = Outcome(self.job.name, False, message, 0.0, self.device, self.tries)
            self.tell_to_stop()
            wait_for([self.process])
            self.stop()
        self.job = None
        return said

    def tell_to_stop(self) -> None:
        if self.process is not None:
            assert self.pipe is not None  # it comes with the process
            self.pipe.close()
            self.process.terminate()  # it cleans up after itself

    def stop(self) -> None:
        """Kill it, where it has not ended."""
        if self.process is not None:
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self.process.close()
            self.process = None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that come in the block are answered after it: a start that they cut short leaves a
    process that nobody knows of.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    heard = [number for number in signal.valid_signals() if callable(signal.getsignal(number))]
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def _unheard() -> Iterator[None]:
    """A process that is started in the block hears no Ctrl-C, not even while it begins: that is its
    parent's to answer.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, work: Work, device: str) -> None:
    """A worker's life: job after job until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143) if not busy else _interrupt())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    busy = False
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            job, tries = pipe.recv()
            busy = True
            outcome = attempt(work, job, device, tries)
            busy = False
            pipe.send(outcome)
    os._exit(0)  # taking PyTorch down in order takes seconds


def _interrupt() -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Clears up and ends this process once its parent is gone: killed, that tells nobody to stop,
    and what is made for it is made for no one.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker has one
    parent.join()
    for _ in range(2):  # an encoder may yet be writing
        discard_unfinished()
    os._exit(143)
