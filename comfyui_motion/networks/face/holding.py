"""What passes before a driver's mouth while it is being filmed: see `passing`, by what came before
alone.

What skin and lips usually look like is a mean that follows slowly, of frames in which nothing is
there; so whatever comes and stays is taken for the face after a while.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...geometry.easing import ramp, smoothstep
from . import passing
from .held import held
from .keypoints import FaceKeypoints
from .raster import Array
from .transfer import Face

KNOWN = 12  # frames that tell what is usual
FOLLOWS = 0.06  # of the way that what is usual goes to each frame
BEFORE = 3  # frames: the mouth held is the one so long before something was seen
IN, OUT = 3, 8  # frames in which a mouth goes over into the one held, and back
PATIENCE = 125  # frames: what stays longer is taken for the face


@dataclass(frozen=True, eq=False)
class Usual:
    """What a face looks like where nothing is before it."""

    light: Array  # SIDE SIDE, logarithms
    signs: Tensor  # SIGNS
    head: Tensor  # 3 3
    changed: float  # of the skin below the nose, from one frame to what was usual
    count: int = 1

    def to(self, other: Usual) -> Usual:
        share = max(FOLLOWS, 1 / (self.count + 1))
        return Usual(
            self.light + share * (other.light - self.light),
            self.signs + share * (other.signs - self.signs),
            self.head + share * (other.head - self.head),
            self.changed + share * (other.changed - self.changed),
            self.count + 1,
        )


class Holding:
    """Takes one frame's face after another, and holds its mouth while it is not seen."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A face comes that has not been seen yet."""
        self.usual: Usual | None = None
        self.shown: deque[tuple[Tensor, Tensor]] = deque(maxlen=BEFORE)
        self.gone = 0  # frames for which the mouth has not been seen
        self.share = 0.0  # of the mouth that is held

    def __call__(
        self, keypoints: FaceKeypoints, signs: Tensor, bright: Tensor, cut: bool
    ) -> FaceKeypoints:
        """1 478, 1 SIGNS, 1 SIDE SIDE; `cut`: the frame is unlike the one before"""
        face, light = keypoints.face, passing.logarithms(bright)[0]
        now = Usual(light, signs[0], face.head.rotation[0], 0.0)
        if self.usual is None or (cut and not self.same(now)):
            self.forget()
            self.usual = now
        gone = self.covered(now)
        self.gone = self.gone + 1 if gone else 0
        if self.gone > PATIENCE:
            self.forget()
            return keypoints
        if not gone:
            self.usual = self.usual.to(replace(now, changed=self.changed(now)))
        return self.holding(keypoints, face, gone)

    def same(self, now: Usual) -> bool:
        """Whether it is the same face, above the nose."""
        assert self.usual is not None
        return passing.same(self.usual.light, now.light)

    def changed(self, now: Usual) -> float:
        assert self.usual is not None
        return passing.edges(now.light - self.usual.light, passing.lower())

    def covered(self, now: Usual) -> bool:
        """Whether something is before this mouth."""
        usual = self.usual
        assert usual is not None
        if usual.count < KNOWN:
            return False
        if bool(passing.unlike(now.signs[None], usual.signs)):
            return True
        if usual.changed > passing.BUSY:
            return False
        cosine = (((now.head * usual.head).sum() - 1) / 2).clamp(-1, 1)
        told = 1 - float(ramp(*passing.TURNED, torch.rad2deg(cosine.acos())))
        changed = self.changed(now)
        return changed * told > passing.BEGUN or (self.gone > 0 and changed > passing.STILL)

    def holding(self, keypoints: FaceKeypoints, face: Face, gone: bool) -> FaceKeypoints:
        """As it is, or with the mouth held so far as it is."""
        assert keypoints.mouth is not None
        step = 1 / IN if gone else -1 / OUT
        self.share = min(max(self.share + step, 0.0), 1.0) if self.shown else 0.0
        if not gone and self.share == 0:
            self.shown.append((face.shape, keypoints.mouth))
        if self.share == 0:
            return keypoints
        shape, mouth = self.shown[0]
        share = float(smoothstep(self.share))
        points = face.head.apply(face.shape + share * held() * (shape - face.shape))
        light = None if keypoints.light is None else keypoints.light * (1 - share)
        made = FaceKeypoints.placed(
            points,
            keypoints.size,
            confidence=keypoints.confidence,
            mouth=torch.lerp(keypoints.mouth, mouth, share),
            light=light,
        )
        return replace(made, rest=keypoints.rest)
