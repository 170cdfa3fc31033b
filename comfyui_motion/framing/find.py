"""Where the subject of a picture is, found by a motion model's own keypoints: no face library, no
weights but the model's.

A learned detector sees a square, and puts its points on whatever it is shown, subject or not. So
squares of several sizes are laid over the picture, and every square moves to frame the points found
in it, until it stays. Then it is shaken: points on a subject stay on the subject; points on nothing
go along with the square. How far they stay is the confidence, with how far they lie as a face does
where the model's points are a face's.

Squares are (x, y, side): centre and side in pixels, the picture's outer edges being 0 and its size.
Points inside here are in pixels too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..keypoints import Keypoints
from ..media.picture import to_rgb
from ..model import MotionModel
from .canvas import Box, check_box
from .landmarks import layout_of

# of the first squares, in shorter sides of the picture: a face may be a tenth of it
SIDES = (
    1.3,
    0.78,
    0.47,
    0.28,
)
STRIDE = 0.4  # of a square's side: from one to the next
# squares of one size that are followed, how often they are framed anew, how many of them are shaken
TRIED, ROUNDS, JUDGED = (
    6,
    3,
    2,
)
SHAKES = (
    (0.0, 0.0, 1.0),
    (0.12, 0.0, 1.0),
    (-0.12, 0.0, 1.0),
    (0.0, 0.12, 1.0),
    (0.0, -0.12, 1.0),
    (0.0, 0.0, 1.3),
    (0.0, 0.0, 0.8),
)
STRAY = 0.3  # of the square's own motion: points that go along so far are half believed
REACH = 1 / 3  # of the square's side: how far a subject may go from where it was found, and grow
SHARP = 64  # pixels: what lies in smaller squares has no more than hints of features
# how much it counts that a driver is posed as most of the time, against being posed like the source
USUAL = 0.5
# of the first frame's unlikeness: a frame that is hardly better is not worth another beginning
CLEARLY = 0.7
FOUND = 0.38  # confidence from which there is a subject
SURE = 0.65  # confidence from which smaller ones are not looked for
AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Subject:
    """One subject of a picture of height x width."""

    # 1 K, the finder's, in the picture's coordinates; each point's confidence beside it
    keypoints: Keypoints
    # round the subject (a head, where the finder knows faces), in pixels: (left, top, right,
    # bottom); may reach beyond the picture
    box: Box
    confidence: float  # 0..1
    height: int
    width: int

    @property
    def points(self) -> Tensor:
        """In pixels, 0 the picture's outer edge. K 2"""
        return in_pixels(self.keypoints, self.height, self.width)[0]


@torch.no_grad()
def find_subject(
    finder: MotionModel, picture: Tensor, within: Box | None = None, least: float = FOUND
) -> Subject | None:
    """The subject of a picture of any size, anywhere in it; None where confidence stays under
    `least`.

    finder   a model of one size with keypoints of its own: the one trained on puppets, FOMM, MRAA,
             TPSMM, Monkey-Net
    picture  1 C H W in 0..1
    within   a box in pixels: look only there

    Raises InputError for a finder without keypoints of its own.
    """
    picture = to_rgb(picture[:1])
    height, width = picture.shape[-2:]
    left, top, right, bottom = (
        (round(side) for side in check_box(within, height, width))
        if within
        else (0, 0, width, height)
    )
    view = View(finder, picture[..., top:bottom, left:right])
    found = search(view)
    return (
        found.subject((left, top), height, width)
        if found is not None and found.confidence >= least
        else None
    )


@torch.no_grad()
def follow_subject(finder: MotionModel, frames: Tensor, subject: Subject) -> Keypoints:
    """The subject of a clip's frame in all its frames, which may come in batches. B C H W, of one
    size -> B K, in the frames' coordinates

    Every frame is looked at where the subject was, then again round what was found there: it may
    move by a third of its frame's size.
    """
    frames = to_rgb(frames)
    height, width = frames.shape[-2:]
    view, layout = View(finder, frames), layout_of(subject.points)
    start = layout.square(subject.points[None])
    points = view.points(start.expand(len(frames), -1))
    squares = layout.square(points)
    reach = REACH * start[:, 2:]
    squares = torch.minimum(torch.maximum(squares, start - reach), start + reach)
    return from_pixels(view.points(squares), height, width)


def clip_box(finder: MotionModel, frames: Tensor) -> Box | None:
    """The box that holds the subject of a clip's first frame in all its frames, in pixels; None
    where there is no subject. B C H W
    """
    subject = find_subject(finder, frames[:1])
    if subject is None:
        return None
    layout, size = layout_of(subject.points), (subject.height, subject.width)
    poses = [
        in_pixels(follow_subject(finder, batch, subject), *size) for batch in frames.split(AT_ONCE)
    ]
    return layout.box(torch.cat(poses))


def best_pose(poses: Keypoints, subject: Subject, height: int, width: int) -> int:
    """The frame of a followed clip, of height x width, in which its subject is posed most like one
    of another picture; the first unless clearly less.
    """
    layout = layout_of(subject.points)
    driving, source = (
        layout.pose(in_pixels(poses, height, width)),
        layout.pose(subject.points[None]),
    )
    unlike, unusual = (
        (driving - to).square().sum(1) for to in (source, driving.median(dim=0).values)
    )
    cost = unlike + USUAL * unusual
    return int(cost.argmin()) if cost.min() < CLEARLY * cost[0] else 0


@dataclass(frozen=True, eq=False)
class Shaken:
    """What shaking a square told."""

    points: Tensor  # K 2, in pixels
    belief: Tensor  # K in 0..1
    confidence: float

    def subject(self, corner: tuple[int, int], height: int, width: int) -> Subject:
        """As one of the whole picture, of which the part that was looked at begins at
        that corner.
        """
        return subject_at(
            self.points + self.points.new_tensor(corner),
            self.belief,
            self.confidence,
            height,
            width,
        )


def search(view: View) -> Shaken | None:
    """The best square of all sizes, large ones first; smaller ones are left out once
    one is sure.
    """
    best = None
    # smaller ones could not be believed
    large = [share for share in SIDES if share * min(view.height, view.width) >= FOUND * SHARP]
    for share in large or SIDES[:1]:
        for square in settle(view, first_squares(view.height, view.width, share)):
            found = shake(view, square)
            best = found if best is None or found.confidence > best.confidence else best
        if best is not None and best.confidence >= SURE:
            break
    return best


def first_squares(height: int, width: int, share: float) -> Tensor:
    """Squares of one size all over the picture; one that is larger than the picture lies over its
    middle. N 3
    """
    side = share * min(height, width)

    def places(length: int) -> list[float]:
        steps = math.ceil((length - side) / (STRIDE * side)) if length > side else 0
        return (
            [side / 2 + (length - side) * i / steps for i in range(steps + 1)]
            if steps
            else [length / 2]
        )

    return torch.tensor([[x, y, side] for y in places(height) for x in places(width)])


def settle(view: View, squares: Tensor) -> Tensor:
    """The few squares that frame what they show, best first. N 3 -> M 3"""
    before = view.points(squares)
    layout = layout_of(before)
    likely = (
        layout.unlikeness(before).argsort()[: TRIED * 2]
        if layout.rest
        else torch.arange(len(before))
    )
    before = before[likely]
    for i in range(ROUNDS):
        squares = layout.square(before)
        points = view.points(squares)
        off = layout.apart(points, before) + layout.unlikeness(points)
        best = off.argsort()
        best = best[distinct(layout.square(points[best]))][: max(TRIED >> i, JUDGED)]
        before = points[best]
    return layout.square(before)[:JUDGED]


def distinct(squares: Tensor) -> Tensor:
    """Which squares are no near copy of an earlier one. N 3 -> indices"""
    kept: list[int] = []
    for i in range(len(squares)):
        near = (squares[kept] - squares[i]).abs().amax(1) < 0.2 * squares[i, 2]
        if not near.any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def shake(view: View, square: Tensor) -> Shaken:
    """Whether points stay where they are when the square moves and, where left and right are known,
    when the picture is mirrored. 3
    """
    shakes = torch.tensor(SHAKES)
    squares = torch.cat([square[:2] + shakes[:, :2] * square[2], shakes[:, 2:] * square[2]], dim=1)
    seen = view.points(squares)  # S K 2
    layout = layout_of(seen)
    middle = seen.median(dim=0).values
    if layout.mirror:
        mirrored = view.points(squares, layout.mirror)
        seen, middle = torch.cat([seen, mirrored]), (middle + mirrored.median(dim=0).values) / 2
    # how far points that stick to the square go
    along = shakes[:, None, :2] * square[2] + (shakes[:, None, 2:] - 1) * (middle - square[:2])
    stray = (seen - middle).square().sum(-1).mean(0) / along.square().sum(-1).mean(0).clamp(
        min=1e-6
    )  # K
    belief = 1 / (1 + stray / STRAY**2)
    sharp = (square[2] / SHARP).clamp(max=1)
    confidence = layout.choose(belief[None, :, None]).mean() * layout.likeness(middle[None]) * sharp
    return Shaken(middle, belief, float(confidence))


class View:
    """Pictures of one size, halved as often as small squares of the finder's need it, and what the
    finder sees in squares of them.
    """

    def __init__(self, finder: MotionModel, pictures: Tensor) -> None:
        check_finder(finder)
        self.finder = finder
        self.height, self.width = pictures.shape[-2:]
        self.levels = [pictures.to(finder.device, torch.float32)]
        while min(self.levels[-1].shape[-2:]) > 2 * finder.size:
            size = [side // 2 for side in self.levels[-1].shape[-2:]]
            self.levels.append(
                F.interpolate(self.levels[-1], size=size, mode="bilinear", antialias=True)
            )

    def points(self, squares: Tensor, mirror: tuple[int, ...] = ()) -> Tensor:
        """What the finder finds in each square, in pixels of the picture; of a batch of pictures,
        each its own square. N 3 -> N K 2

        `mirror` shows it the squares mirrored, and is the points' order then.
        """
        return torch.cat(
            [
                self._points(squares[i : i + AT_ONCE], i, mirror)
                for i in range(0, len(squares), AT_ONCE)
            ]
        )

    def _points(self, squares: Tensor, first: int, mirror: tuple[int, ...]) -> Tensor:
        shown = torch.cat([self.cut(square, first + i) for i, square in enumerate(squares)])
        found = self.finder.detect(shown.flip(-1) if mirror else shown)
        if not isinstance(found, Keypoints):
            raise InputError(
                f"A subject is found by a model with keypoints, and {self.finder.family} has none;"
                " load another finder."
            )
        size = self.finder.size
        inside = (
            (found.position.cpu() + 1) / 2 * (size - 1) + 0.5
        ) / size - 0.5  # -0.5..0.5, the square's edges
        if mirror:
            inside = inside[:, list(mirror)] * inside.new_tensor([-1.0, 1.0])
        return squares[:, None, :2] + inside * squares[:, None, 2:]

    def cut(self, square: Tensor, number: int) -> Tensor:
        """One square as the finder takes it, edges repeated beyond the picture. 1 3 size size"""
        x, y, side = square.tolist()
        size = self.finder.size
        level = self.levels[
            min(max(round(math.log2(max(side / size, 1))), 0), len(self.levels) - 1)
        ]
        picture = level[number : number + 1] if len(level) > 1 else level
        steps = (torch.arange(size, device=picture.device) + 0.5) / size - 0.5
        across, down = (
            (x + side * steps) * 2 / self.width - 1,
            (y + side * steps) * 2 / self.height - 1,
        )
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None]
        return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def subject_at(
    points: Tensor, belief: Tensor, confidence: float, height: int, width: int
) -> Subject:
    """From points in pixels. K 2, K"""
    return Subject(
        from_pixels(points[None], height, width, belief[None]),
        layout_of(points).box(points[None]),
        confidence,
        height,
        width,
    )


def check_finder(finder: MotionModel) -> None:
    """Raises InputError for a model that follows whatever points it is given."""
    if finder.any_size:
        raise InputError(
            "A subject is found by a model with keypoints of its own, such as puppets, and"
            f" {finder.family} has none; load another."
        )


def in_pixels(keypoints: Keypoints, height: int, width: int) -> Tensor:
    """Positions, 0 the picture's outer edge. B K 2"""
    spans = keypoints.position.new_tensor([width - 1, height - 1])
    return (keypoints.position.cpu() + 1) / 2 * spans + 0.5


def from_pixels(
    points: Tensor, height: int, width: int, confidence: Tensor | None = None
) -> Keypoints:
    """What `in_pixels` takes. N K 2"""
    spans = points.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    return Keypoints((points - 0.5) / spans * 2 - 1, confidence=confidence)
