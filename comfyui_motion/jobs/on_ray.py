"""Jobs over a Ray cluster: a model an actor, an actor a device, jobs as its tasks.

Files are named, not sent: every machine of the cluster must see them under the same paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InputError, boundary
from .job import Job, Outcome
from .workers import TRIES, Work, attempt


def on_ray(
    jobs: Sequence[Job],
    work: Work,
    workers: int,
    device: str,
    address: str | None = None,
    tries: int = TRIES,
) -> Iterator[Outcome]:
    """Every job's outcome as it comes.

    workers  actors, of which each takes one job at a time
    device   each actor's: "cuda" asks the cluster for one GPU an actor, "cpu" for one core
    address  of a cluster, as ray.init takes it; None: the one of RAY_ADDRESS, or a cluster of this
             machine that ends with the batch

    A job whose actor dies is done again, `tries` times in all. Raises InputError without Ray.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed here: pip install 'comfyui_motion[ray]'.") from error

    began = not ray.is_initialized()
    if began:
        where = f"at {address}" if address else "here"
        with boundary(InputError, f"The Ray cluster {where} does not answer ({{reason}})."):
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
    try:
        yield from _dealt(ray, jobs, work, workers, device, tries)
    finally:
        if began:
            ray.shutdown()


def _dealt(
    ray: Any, jobs: Sequence[Job], work: Work, workers: int, device: str, tries: int
) -> Iterator[Outcome]:
    share: dict[str, Any] = {"num_gpus": 1} if device.startswith("cuda") else {"num_cpus": 1}
    actor = ray.remote(**share)(_Actor)
    idle = deque(actor.remote(work, device) for _ in range(min(workers, len(jobs))))
    waiting = deque((job, 1) for job in jobs)
    running: dict[Any, tuple[Any, Job, int]] = {}
    while waiting or running:
        while waiting and idle:
            worker, (job, tried) = idle.popleft(), waiting.popleft()
            running[worker.run.remote(job, tried)] = worker, job, tried
        (ready, *_), _ = ray.wait(list(running))
        worker, job, tried = running.pop(ready)
        try:
            outcome = ray.get(ready)
            idle.append(worker)
            yield outcome
        except ray.exceptions.RayActorError as error:
            # one that Ray starts again would refuse what comes until it is there
            idle.append(actor.remote(work, device))
            if tried < tries:
                waiting.appendleft((job, tried + 1))
                continue
            why = str(error).partition("\n")[0]
            told = f"The worker died {tried} times ({why}), out of memory perhaps."
            yield Outcome(job.name, False, told, 0.0, device, tried)


class _Actor:
    """One worker of the cluster."""

    def __init__(self, work: Work, device: str) -> None:
        self.work, self.device = work, device

    def run(self, job: Job, tries: int) -> Outcome:
        return attempt(self.work, job, self.device, tries)
