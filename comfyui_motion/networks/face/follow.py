"""A face through a clip: looked for where it was, searched for again when lost, and named as
missing where there is none.

The square that the mesh looks at is renewed every eight frames of the clip, so that nothing depends
on the batches in which the frames come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...doors.words import logger
from ...errors import InputError
from .detector import SIDE as DETECTED
from .find import SCORE, Face, detected, distinct, find_in, look, settle
from .mesh import SIDE
from .networks import SeesFaces
from .region import Region
from .region import cut as square
from .smooth import held, one_euro, settled

AT_ONCE = 8
ROUNDS = 2  # of the mesh, on a frame by itself
LOST = 0.3  # of the mesh's flag: below, the face is searched for again
MOVED = 0.5  # see Region.apart: a face so far from the middle of its square is looked at once more
STAYED = 0.06  # a face so near its square's middle: the square stays, and so do the mesh's biases
PATIENCE = 24  # frames without a face between two searches in every corner
BLANK = 0.01  # standard deviation of a frame that shows nothing
UNLIKE = 0.12  # 1 - correlation of two frames' thumbnails, from which they are of two shots
AFRESH = 2.0  # times that, right after a cut: cameras move, and hardly anybody cuts twice
STEADY, SUDDEN = 0.03, 8.0  # the same once a shot is known: at least, and in times of what is usual
KNOWN, LATELY = 4, 12  # frames that make a shot known, that are remembered of it
THUMBNAIL = 24
log = logger()


@dataclass(frozen=True, eq=False)
class Followed:
    """One face in T frames of height x width."""

    # T 478 3, pixels, 0 the picture's outer edge; where it is not seen, as it was last
    points: Tensor
    flag: Tensor  # T in 0..1: how sure the mesh is of a face; 0 where there is none
    cut: Tensor  # T, bool: here begins another shot
    height: int
    width: int

    @property
    def found(self) -> Tensor:
        """T, bool"""
        return self.flag > 0

    def __len__(self) -> int:
        return len(self.flag)

    def smooth(self, rate: float = 25.0) -> Followed:
        """Without the trembling of a detector, and without jumps where the face was lost and came
        back; never across a cut. `rate` in frames a second.
        """
        calm = settled(self.points, self.found, self.cut)
        steady = one_euro(calm, self.found, self.cut, rate)
        return replace(self, points=held(steady, self.found, self.cut))

    @staticmethod
    def join(parts: list[Followed]) -> Followed:
        """One after another in time."""
        points, flag, cut = (
            torch.cat(rows)
            for rows in zip(*((p.points, p.flag, p.cut) for p in parts), strict=True)
        )
        return Followed(points, flag, cut, parts[0].height, parts[0].width)


def choose(faces: list[Face], number: int) -> Face | None:
    """The face of that number, from left to right; 0: the largest. None where there is none.

    Raises InputError where there are fewer.
    """
    if not faces:
        return None
    if number > len(faces):
        raise InputError(
            f"There {'is one face' if len(faces) == 1 else f'are {len(faces)} faces'} here, and"
            f" face {number}, from left to right, was asked for; give 1 to {len(faces)}, or 0 for"
            " the largest."
        )
    return faces[number - 1] if number else max(faces, key=lambda face: face.size)


class Follower:
    """Takes a clip's frames in batches, in order, and follows one face through them."""

    def __init__(self, networks: SeesFaces, number: int = 0, near: Tensor | None = None) -> None:
        """`number`: which face of the first frame that shows one, see `choose`; `near`: the one
        nearest to these points (478 3), instead.
        """
        self.networks = networks
        self.number = number
        self.region: Region | None = None  # where it is looked for
        self.last = (
            None if near is None else Region.of_points(near)
        )  # where it was seen last in this shot
        self.count = 0  # frames seen
        self.missed = 0  # frames searched for it in vain
        self.before: Tensor | None = None  # the thumbnail of the last frame that showed something
        self.alike: list[float] = []  # how unlike frames have been of late
        self.unlike = UNLIKE  # while that is not known

    @torch.no_grad()
    def see(self, frames: Tensor) -> Followed:
        """The next frames of the clip. B 3 H W in 0..1"""
        whole = torch.isfinite(frames.sum((1, 2, 3)))
        frames = frames.float() if bool(whole.all()) else frames.float().nan_to_num(0)
        shows, cut = self._shots(frames)
        frames = frames.to(next(self.networks.mesh.parameters()).device)
        points, flag = torch.zeros(len(frames), 478, 3), torch.zeros(len(frames))
        start = 0
        while start < len(frames):
            if cut[start]:
                self.last = self.region = None
            searched = self.region is None
            if searched and shows[start]:
                self._search(frames[start : start + 1], bool(cut[start]))
            seen = 0
            if self.region is not None:
                stop = self._until(start, cut)
                seen = self._track(*(rows[start:stop] for rows in (frames, points, flag)))
            if searched:
                seen = max(seen, 1)  # one that is searched in vain shows no face
            self.count += seen
            start += seen
        return Followed(points, flag, cut, *frames.shape[-2:])

    def _until(self, start: int, cut: Tensor) -> int:
        """The end of what is looked at together: the clip's next block, or shot."""
        stop = min(start + AT_ONCE - self.count % AT_ONCE, len(cut))
        return next((i for i in range(start + 1, stop) if cut[i]), stop)

    def _track(self, frames: Tensor, points: Tensor, flag: Tensor) -> int:
        """Fills in the frames in which the face is where it was, up to one in which it is lost.

        Returns how many these are, without that one.
        """
        assert self.region is not None
        seen, sure = look(self.networks, frames, self.region)
        for i in range(len(frames)):
            if sure[i] >= LOST and self.region.apart(near := Region.of_points(seen[i])) > MOVED:
                again, surely = look(self.networks, frames[i : i + 1], near)
                seen[i], sure[i] = again[0], surely[0]
        lost = next((i for i in range(len(frames)) if sure[i] < LOST), len(frames))
        points[:lost], flag[:lost] = seen[:lost], sure[:lost]
        if lost:
            self.last = Region.of_points(seen[lost - 1])
        if lost < len(frames):
            self.region = None
        elif (self.count + len(frames)) % AT_ONCE == 0:
            assert self.last is not None  # it was seen in every frame
            if self.last.apart(self.region) > STAYED:
                self.region = self.last
        return lost

    def _search(self, frame: Tensor, cut: bool) -> None:
        """Where the face is now, if it is anywhere: the one asked for in a new shot, else the one
        nearest to where it was.
        """
        everywhere = (cut and self.missed == 0) or self.missed % PATIENCE == 0
        faces = (find_in if everywhere else quick)(self.networks, frame)
        self.missed = 0 if faces else self.missed + 1
        if faces and self.last is not None:
            was = self.last
            self.region = min((face.region for face in faces), key=was.apart)
        elif faces:
            chosen = choose(faces, self.number)
            assert chosen is not None  # there are faces
            self.region = chosen.region

    def _shots(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """In which frames there is anything to see, and which begin another shot. B, B bool"""
        small = thumbnails(frames)
        shows = small.std(1) > BLANK
        cut = torch.zeros(len(frames), dtype=torch.bool)
        for i in range(len(frames)):
            if not shows[i]:
                continue
            cut[i] = self.before is not None and self._unlike(self.before, small[i])
            self.before = small[i]
        return shows, cut

    def _unlike(self, before: Tensor, now: Tensor) -> bool:
        """Whether one frame is of another shot than the one before, as thumbnails show."""
        unlike = 1 - float(torch.corrcoef(torch.stack([before, now]))[0, 1])
        usual = sum(self.alike) / max(len(self.alike), 1)
        known = len(self.alike) >= KNOWN
        if unlike > (max(STEADY, SUDDEN * usual) if known else self.unlike):
            self.alike, self.unlike = [], AFRESH * UNLIKE
            return True
        self.alike = [*self.alike[1 - LATELY :], unlike]
        return False


def quick(networks: SeesFaces, picture: Tensor) -> list[Face]:
    """What the detector sees in the whole picture, upright."""
    found = detected(networks, picture, [Region.whole(*picture.shape[-2:])])
    settled = (settle(networks, picture, guess) for guess in found)
    return distinct([face for face in settled if face is not None])


@torch.no_grad()
def places(networks: SeesFaces, frames: Tensor) -> tuple[Tensor, Tensor]:
    """The largest face of each frame by itself, whatever comes before or with it. B 3 H W in 0..1

    Returns points (B 478 3, as `Followed` has them) and how sure the mesh is (B); both 0 where
    there is no face.
    """
    frames = frames.float().nan_to_num(0)
    points, flag = torch.zeros(len(frames), 478, 3), torch.zeros(len(frames))
    regions = largest(networks, frames)
    seen = [i for i, region in enumerate(regions) if region is not None]
    if not seen:
        return points, flag
    there = [region for region in regions if region is not None]
    for _ in range(ROUNDS):
        crops = [square(frames[i : i + 1], at, SIDE) for i, at in zip(seen, there, strict=True)]
        placed, sure = (rows.cpu() for rows in networks.mesh(torch.cat(crops)))
        found = [at.outside(rows / SIDE) for at, rows in zip(there, placed, strict=True)]
        there = [Region.of_points(rows) for rows in found]
    points[seen] = torch.stack(found)
    flag[seen] = torch.where(sure.ge(LOST), sure, 0)
    points[flag == 0] = 0
    return points, flag


def largest(networks: SeesFaces, frames: Tensor) -> list[Region | None]:
    """Where the largest face of each frame is, by one look at all of it; where that shows none, by
    looking everywhere.
    """
    whole = Region.whole(*frames.shape[-2:])
    guesses = networks.detector(square(frames, whole, DETECTED))
    score = torch.where(guesses.score > SCORE, (guesses.box[..., 2] - guesses.box[..., 0]), 0)
    found: list[Region | None] = []
    for i, best in enumerate(score.argmax(1).tolist()):
        if score[i, best] > 0:
            box, points = guesses.box[i, best].cpu(), guesses.points[i, best].cpu()
            found.append(Region.of_detection(box, points, whole))
        else:
            face = choose(find_in(networks, frames[i : i + 1]), 0)
            found.append(None if face is None else face.region)
    return found


def thumbnails(frames: Tensor) -> Tensor:
    """Of a few pixels each. B 3 H W -> B 3*24*24, on the CPU"""
    step = max(min(frames.shape[-2:]) // (4 * THUMBNAIL), 1)
    few = frames[..., ::step, ::step].contiguous()
    small = F.interpolate(few, size=(THUMBNAIL, THUMBNAIL), mode="area")
    return small.flatten(1).cpu()


def follow_faces(
    networks: SeesFaces,
    clip: Iterable[Tensor],
    number: int = 0,
    rate: float = 25.0,
    progress: Callable[[int], None] | None = None,
    near: Tensor | None = None,
) -> Followed:
    """One face through a whole clip, steadied; frames without it are named in the log.

    clip      batches of frames, B 3 H W in 0..1
    number    which face of the first frame that shows one, from left to right; 0: the largest
    rate      frames a second
    progress  called with the number of frames seen; what it raises ends the run
    near      points (478 3) of the face that is meant, instead of a number

    Raises InputError where the clip has no frames, or fewer faces.
    """
    follower, parts, done = Follower(networks, number, near), [], 0
    for batch in clip:
        for frames in batch.split(AT_ONCE):
            parts.append(follower.see(frames))
        done += len(batch)
        if progress:
            progress(done)
    if not parts:
        raise InputError("The driving clip has no frames; give at least one.")
    followed = Followed.join(parts)
    if followed.found.any() and not followed.found.all():
        log.warning("%s", missing(followed.found))
    return followed.smooth(rate)


def missing(found: Tensor) -> str:
    """Which frames show no face, as a sentence. T, bool"""
    lost = int((~found).sum()) > 1
    return (
        f"There is no face in frame{'s' if lost else ''} {stretches(~found)} of the clip (counted"
        " from 0): the last pose is held there."
    )


def stretches(frames: Tensor) -> str:
    """Those frames as words: 3, 5-8. T, bool"""
    runs: list[list[int]] = []
    for i in frames.nonzero()[:, 0].tolist():
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    named = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    more = len(named) - 6
    return ", ".join(named[:6]) + (f" and {more} more stretches" if more > 0 else "")
