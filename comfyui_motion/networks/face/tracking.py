"""A face from frame to frame of what has no end: a camera's pictures, another program's.

The mesh looks where the face was in the frame before; the whole frame is searched only where it is
lost. Points are steadied by what came before alone, so that nothing waits for frames to come.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from ...geometry.one_euro import OneEuro
from .find import eye_distance
from .follow import Follower
from .holding import Holding
from .networks import SeesFaces
from .smooth import steadied

SLOWEST, FASTEST = 5.0, 120.0  # frames a second that frames are taken to come at


class Tracker:
    """Takes one frame after another, and follows one face through them."""

    def __init__(self, networks: SeesFaces, rate: float | None = None) -> None:
        """`rate`: frames a second; None: as they come."""
        self.follower = Follower(networks)
        self.rate, self.before = rate, 0.0
        self.steady: OneEuro[np.ndarray] | None = None
        self.holding, self.cut = Holding(), False

    def __call__(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """1 3 H W in 0..1 -> its points (1 478 3, see `Followed`), and how sure the mesh is (1; 0
        where there is no face).
        """
        seen = self.follower.see(frame)
        rate = self._rate()
        self.cut = bool(seen.cut[0])
        if self.cut or not seen.found[0]:
            self.steady = None
        if not seen.found[0]:
            self.holding.forget()
            return seen.points, seen.flag
        points = seen.points[0].double().numpy()
        if self.steady is None:
            self.steady = steadied(points, max(float(eye_distance(seen.points[0])), 1e-3))
        steady = self.steady.next(points, rate)
        return torch.from_numpy(np.float32(steady))[None], seen.flag

    def _rate(self) -> float:
        """Frames a second, of late."""
        now, before = time.monotonic(), self.before
        self.before = now
        if self.rate is not None:
            return self.rate
        return min(max(1 / max(now - before, 1e-3), SLOWEST), FASTEST)
