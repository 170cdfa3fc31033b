"""How far a command has come."""

from __future__ import annotations

from threading import RLock
from typing import Any


class Bar:
    """A progress bar on standard error, with the time left."""

    def __init__(self, title: str, unit: str = "frame") -> None:
        self.title, self.unit = title, unit
        self.bar: Any = None

    def __enter__(self) -> Bar:
        from tqdm import tqdm

        # not one of the system's, which a process that is ended leaves there
        tqdm.set_lock(RLock())
        self.bar = tqdm(desc=self.title, unit=self.unit, disable=None, leave=False)
        return self

    def __call__(self, done: int, total: int | None) -> None:
        self.bar.total = max(done, total) if total else None
        self.bar.update(done - self.bar.n)

    def told(self, progress: Any) -> None:
        """What training says after a step."""
        self(progress.step, progress.steps)
        self.bar.set_postfix(
            {"stage": progress.stage, "loss": f"{progress.losses['total']:.4g}"}, refresh=False
        )

    def __exit__(self, *_: object) -> None:
        self.bar.close()
