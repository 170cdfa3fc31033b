"""A driver's face through a whole clip: its points, and what is seen of mouth and skin; where it is
at rest in every shot.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...cores import CORES
from ...doors.words import logger
from ...geometry.easing import ramp
from ...shapes import check_reference, same
from . import light, mouth, passing
from .follow import AT_ONCE, Followed, Follower, missing
from .hole import brought
from .keypoints import FaceKeypoints
from .mien import Mien
from .networks import SeesFaces
from .pose import angles
from .raster import Array
from .region import boxed
from .together import ahead
from .topology import EYES, LIPS
from .transfer import opening

log = logger()
UNSEEN = 1e-3  # confidence of a frame that does not show the face, whose pose is held
TURNED = (8.0, 24.0)  # degrees from rest: light on the skin tells all, tells nothing
SEEN = (20.0, 50.0)  # pixels between a driver's eyes: folds are not seen by fewer, all by more
ORDINARY = 0.3  # of the widest opening of the lids: eyes that are no further shut are open


@dataclass(frozen=True, eq=False)
class Looks:
    """What is seen of faces besides their points."""

    mouth: Tensor  # T 2 h w, see FaceKeypoints
    lips: Tensor  # T 20 2: how far the inner lips go, in pixels, towards where lips end
    signs: Tensor  # T 6: whether lips are seen, see `passing`
    bright: Tensor  # T h w: how light the skin is, over the canonical face

    @staticmethod
    def of(frames: Tensor, points: Tensor) -> Looks:
        """B 3 H W in 0..1, B 478 2 in pixels, 0 the first one's centre"""
        cells = light.placed(points)
        seen = [look(*one) for one in zip(frames, points, cells, strict=True)]
        return Looks(*(torch.from_numpy(np.stack(rows)) for rows in zip(*seen, strict=True)))

    @staticmethod
    def join(parts: list[Looks]) -> Looks:
        return Looks(
            *(
                torch.cat(rows)
                for rows in zip(*((p.mouth, p.lips, p.signs, p.bright) for p in parts), strict=True)
            )
        )


def look(frame: Tensor, points: Tensor, cells: Array) -> tuple[Array, Array, Array, Array]:
    """The inside of a mouth, how far its lips go to where they end, whether they are seen, and the
    light on the skin, of one frame, where the cells of the latter's map lie so. 3 H W, 478 2, S S 2
    """
    cut, corner = boxed(frame, points)
    if min(cut.shape[:2]) < 2:
        nothing = np.zeros((2, mouth.ROWS, mouth.COLUMNS), np.float32)
        still = np.zeros((len(LIPS.inner), 2), np.float32)
        unlit = np.zeros((light.SIDE, light.SIDE), np.float32)
        return nothing, still, np.zeros(passing.SIGNS, np.float32), unlit
    places = points.double().numpy() - corner
    inside, went = mouth.inside(cut, places)
    lit = light.brightness(cut, cells - np.array(corner, np.float32))
    return inside, went.astype(np.float32), passing.signs(cut, places), lit


@dataclass(frozen=True, eq=False)
class Script:
    """All that a look at a clip told of its driver."""

    keypoints: FaceKeypoints  # T: steadied, with light against each shot's rest
    rest: Tensor  # T: the frame that each frame's motion is measured from
    shown: bool  # whether there is a face in it at all
    # how often each of its frames shows before another does: those that are held move nothing
    times: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def empty(self) -> bool:
        return not self.shown

    @property
    def reference(self) -> int:
        """The frame that the motion of the first shot is measured from."""
        return int(self.rest[0])

    def of(self, frames: slice | Tensor) -> tuple[FaceKeypoints, FaceKeypoints]:
        """Some frames, by their numbers, and what the motion of each is measured from: one for all,
        where it is the same.
        """
        rest = self.rest[frames]
        if len(rest) and bool((rest == rest[0]).all()):
            rest = rest[:1]
        return self.keypoints[frames], self.keypoints[rest]


@torch.no_grad()
@CORES.aside()
def watch(
    networks: SeesFaces,
    clip: Iterable[Tensor],
    number: int,
    reference: int,
    heeds_hands: bool = True,
) -> Script:
    """Follow a face through a clip.

    clip         batches of frames, B 3 H W in 0..1
    number       which face, from left to right; 0: the largest
    reference    the frame at rest in its shot; -1: the most neutral one, as in every other shot
    heeds_hands  whether a mouth keeps its shape where something passes before it
    """
    parts, looks = [], []
    times: list[int] = []
    frames = regrouped(without_held(clip, times), AT_ONCE)
    with ahead(following(frames, Follower(networks, number))) as followed_frames:
        for batch, seen in followed_frames:
            parts.append(seen)
            looks.append(Looks.of(batch, seen.points[..., :2] - 0.5))
    followed, looked = Followed.join(parts), Looks.join(looks)
    hidden = torch.zeros(len(followed), dtype=torch.bool)
    if heeds_hands:
        hidden, cut = passing.hidden(followed, looked.signs, looked.bright)
        followed = replace(followed, cut=cut)
    lips = looked.lips[nearest_shown(followed.found & ~hidden)]
    followed = replace(followed, points=brought(followed.points, lips))
    if followed.found.any() and not followed.found.all():
        log.warning("%s", missing(followed.found.repeat_interleave(torch.tensor(times))))
    if hidden.any():
        log.warning("%s", passing.told(hidden.repeat_interleave(torch.tensor(times))))
    steady = followed.smooth() if len(followed) > 1 else followed
    points, inside = passing.bridged(steady.points, looked.mouth, hidden, steady.found, steady.cut)
    seen = replace(looked, mouth=inside)
    return scripted(replace(steady, points=points), seen, reference, hidden, tuple(times))


def following(clip: Iterable[Tensor], follower: Follower) -> Generator[tuple[Tensor, Followed]]:
    """Frames, and where the face is in them."""
    with torch.no_grad(), CORES.aside():  # on whichever thread this is
        for frames in clip:
            yield frames, follower.see(frames)


def without_held(clip: Iterable[Tensor], times: list[int]) -> Iterator[Tensor]:
    """The same frames, but those that are the one before to the last bit; `times` is filled with
    how often each shows.
    """
    last: Tensor | None = None
    for batch in clip:
        new: list[int] = []
        for i in range(len(batch)):
            frame = batch[i : i + 1]
            if last is not None and same(frame, last):
                times[-1] += 1
                continue
            new.append(i)
            times.append(1)
            last = frame
        if new:
            yield batch if len(new) == len(batch) else batch[new]


def regrouped(clip: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """The same frames in batches of one size, so that nothing depends on how they came."""
    held: list[Tensor] = []
    for batch in clip:
        if len(batch) == count and not held:
            yield batch
            continue
        for frame in batch.split(1):
            held.append(frame)
            if len(held) == count:
                yield torch.cat(held)
                held = []
    if held:
        yield torch.cat(held)


def scripted(
    followed: Followed, looks: Looks, reference: int, hidden: Tensor, times: tuple[int, ...]
) -> Script:
    """Shots, their frames at rest, and light against those; each frame as often as it shows.
    `hidden`: where the mouth is not seen, T bool
    """
    often = torch.tensor(times, dtype=torch.long)
    numbers = torch.arange(len(times)).repeat_interleave(often)
    shown = nearest_shown(followed.found)
    points = followed.points.clone()
    faceless = ~shots_with_faces(followed.found, followed.cut)
    points[faceless] = followed.points[shown[faceless]]
    points[..., :2] -= 0.5
    keypoints = FaceKeypoints.placed(
        points,
        points.new_tensor([[followed.width, followed.height]]),
        confidence=followed.flag.clamp(min=UNSEEN)[:, None].expand(-1, points.shape[1]),
    )
    if len(followed):
        check_reference(reference, len(numbers))
        reference = int(numbers[reference]) if reference >= 0 else reference
    rest = rests(keypoints, followed.found, followed.cut, reference, hidden)
    rest = torch.where(faceless, rest[shown], rest)
    bright = looks.bright[shown].numpy()
    lights = np.stack([light.change(bright[t], bright[int(r)]) for t, r in enumerate(rest)])
    believed = telling(keypoints, rest) * passing.lit(hidden)
    lit = torch.from_numpy(lights)[:, None] * believed[:, None, None, None]
    return Script(
        FaceKeypoints(
            keypoints.position,
            confidence=keypoints.confidence,
            depth=keypoints.depth,
            size=keypoints.size,
            mouth=looks.mouth[shown],
            light=lit,
            rest=torch.cat([keypoints.position, keypoints.depth[..., None]], dim=-1)[rest],
        )[numbers],
        (often.cumsum(0) - often)[rest][numbers],
        bool(followed.found.any()),
        times,
    )


def telling(keypoints: FaceKeypoints, rest: Tensor) -> Tensor:
    """How far the light on each frame's face tells of its folds: a small face's tells of noise, and
    a head that turned shows other sides to the lamps. T
    """
    face = keypoints.face
    size = face.eyes_apart * face.head.scale
    heads = face.head.rotation
    between = heads @ heads[rest].transpose(1, 2)
    cosine = (between.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    alike = 1 - ramp(*TURNED, torch.rad2deg(cosine.clamp(-1, 1).acos()))
    return alike * ramp(*SEEN, torch.minimum(size, size[rest]))


def nearest_shown(found: Tensor) -> Tensor:
    """For each frame, the last one that shows the face, or the first that will. T"""
    seen = found.nonzero()[:, 0]
    if not len(seen):
        return torch.zeros(len(found), dtype=torch.long)
    return seen[(found.long().cumsum(0) - 1).clamp(min=0)]


def shots_with_faces(found: Tensor, cut: Tensor) -> Tensor:
    """Which frames are of a shot that shows the face somewhere. T, bool"""
    shot = cut.long().cumsum(0)
    return torch.isin(shot, shot[found])


def rests(
    keypoints: FaceKeypoints, found: Tensor, cut: Tensor, reference: int, hidden: Tensor
) -> Tensor:
    """The frame each frame's motion is measured from: one in each shot; of those whose mouth is
    seen, where there are some. T
    """
    shot = cut.long().cumsum(0)
    rest = torch.zeros(len(cut), dtype=torch.long)
    for number in shot.unique().tolist():
        frames = (shot == number).nonzero()[:, 0]
        seen = frames[found[frames]]
        seen = seen[~hidden[seen]] if bool((~hidden[seen]).any()) else seen
        if reference >= 0 and bool((frames == reference).any()) and bool(found[reference]):
            best = reference
        elif len(seen):
            best = int(seen[most_neutral(keypoints[seen])])
        else:
            best = int(frames[0])
        rest[frames] = best
    return rest


def most_neutral(keypoints: FaceKeypoints) -> int:
    """The frame in which a face is most at rest: lids open, mouth shut and no smile, frontal, as
    it usually is.
    """
    return int(unrest(keypoints).argmin())


def unrest(keypoints: FaceKeypoints) -> Tensor:
    """How far each frame's face is from being at rest. T"""
    face = keypoints.face
    apart = face.eyes_apart[:, None]
    lids = torch.stack(
        [opening(face.shape, eye.upper, eye.lower).mean(1) for eye in EYES.values()], dim=1
    )
    usual = lids.quantile(0.9, dim=0).clamp(min=1e-3)
    closed = (1 - ORDINARY - lids / usual).clamp(min=0).amax(1)
    mouth_gap = opening(face.shape, *zip(*LIPS.pairs, strict=True)).amax(1) / apart[:, 0]
    usually = face.shape.median(dim=0, keepdim=True).values
    strange = ((face.shape - usually)[..., :2].norm(dim=-1) / apart).mean(1)
    turned = angles(face.head.rotation)[:, :2].abs().amax(1) / 90
    mien = Mien.of(face)
    smiling = mien.width + mien.lift
    return 2 * closed + 3 * mouth_gap.clamp(min=0) + 6 * smiling + 8 * strange + turned
