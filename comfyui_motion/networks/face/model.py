"""Face: a still picture's face moves as a driver's does, by its own mesh. Live on a CPU.

Three small networks see: where faces are, their 478 points, which pixels are people. All else is
geometry: the head's motion in space, expression fitted to another face, triangles of the picture's
own pixels; inside of the mouth and light on the skin from the driver.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...cores import CORES
from ...doors.words import logger
from ...errors import InputError, NoSubject
from ...field import MotionField
from ...keypoints import Keypoints
from ...model import Detect, Family, MotionModel, Placement, Portrait
from ...shapes import are_numbers, in_range, same
from . import light, on_device, paint, warp
from .covered import covered
from .detector import FaceDetector
from .find import Face, find_in
from .finder import FindsFaces
from .follow import choose, places
from .hole import brought
from .keypoints import FaceKeypoints
from .mask import SIDE as MASKED
from .mask import PersonMask
from .mesh import FaceMesh
from .parts import NAMES, Parts
from .seen import answers
from .source import SourceFace, to_field
from .together import meanwhile
from .topology import POINTS
from .tracking import Tracker
from .watch import Looks, Script, watch

HALF = torch.tensor([0.5, 0.5, 0.0])  # from the picture's outer edge to the first pixel's centre
NO_FACE = "There is no face in the {}, so all that moves in the clip moves it, as for any subject."
COVERED = (
    "Something is held before the mouth in the picture, so that mouth stays as it is. Where that is"
    " wrong: a sharper picture, or load the model with heeds_hands=False."
)
log = logger()


@dataclass(frozen=True)
class Parameters:
    size: int = 512  # longer side that driving frames are best brought to
    channels: int = 3
    layers: bool = True  # who is in the picture moves in front of what is behind
    heeds_hands: bool = True  # what is held before a mouth is no mouth, of pictures and clips


@dataclass(frozen=True, eq=False)
class FacePortrait(Portrait):
    """A picture, and for each one how its face can move."""

    faces: tuple[SourceFace, ...] = ()


class FaceModel(Parts, FindsFaces, MotionModel):
    family = "face"
    any_size = True
    looks_ahead = True
    at_once = 8
    poses_ahead = True
    part_names = NAMES
    finding = ("detector", "mesh", "person")
    spec: Parameters
    partners: tuple[MotionModel, ...] = ()  # what animates pictures and clips without a face

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.detector = FaceDetector()
        self.mesh = FaceMesh()
        self.person = PersonMask()
        self._rest: tuple[Tensor, np.ndarray, float] | None = None  # see `at_rest`
        self._faces: tuple[Any, list[Face]] | None = None  # see `faces`
        self._begun: tuple[Tensor, Placement | None, Future[FacePortrait]] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """See `_apply`."""
        return torch.float32

    @property
    def networks(self) -> FaceModel:
        """What sees faces: itself."""
        return self

    def _apply(self, function: Callable[..., Any], recurse: bool = True) -> nn.Module:
        """Devices change, the networks stay float32: half a pixel of a lid is a wink."""
        super()._apply(function, recurse)
        narrow = any(p.dtype in (torch.float16, torch.bfloat16) for p in self.parameters())
        return (
            super()._apply(lambda t: t.float() if t.is_floating_point() else t) if narrow else self
        )

    def faces(self, picture: Tensor) -> list[Face]:
        """The faces of one picture, from left to right. 1 3 H W in 0..1

        Looked for once, where one picture is asked for again and again.
        """
        picture = finite(self.accept(picture, "picture").float())
        number = number_of(picture)
        if self._faces is None or self._faces[0] != number:
            self._faces = number, find_in(self, picture)
        return list(self._faces[1])

    @torch.inference_mode()
    @CORES.aside()
    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        """The points of the largest face in each frame, B 3 H W -> B 478, with its mouth's inside
        and the light on its skin against the reference (1 3 h w; the first of these frames if
        None).

        Frames without a face have confidence 0.
        """
        frames = self.accept(frames).float().nan_to_num(0)
        points, flag = places(self, frames)
        return self.keypoints(frames, points, flag, frames[:1] if reference is None else reference)

    def tracker(self, rate: float | None = None) -> Detect:
        """`detect` for one frame after another of what has no end, in a third of its time: the face
        is looked for where it was, and its points are steadied. `rate` in frames a second; None: as
        they come.
        """
        follow = Tracker(self, rate)

        @torch.inference_mode()
        @CORES.aside()
        def track(frames: Tensor, reference: Tensor | None = None) -> Keypoints:
            frames = self.accept(frames).float()
            points, flag = follow(frames)
            rest = frames if reference is None else reference
            looks, seen = self.looked(finite(frames), points, flag, rest)
            if not (flag[0] and self.spec.heeds_hands):
                return seen
            return follow.holding(seen, looks.signs, looks.bright, follow.cut)

        return track

    def keypoints(
        self, frames: Tensor, points: Tensor, flag: Tensor, reference: Tensor
    ) -> FaceKeypoints:
        """Points (B 478 3, as `Followed` has them) with what is seen of mouth and skin."""
        return self.looked(frames, points, flag, reference)[1]

    def looked(
        self, frames: Tensor, points: Tensor, flag: Tensor, reference: Tensor
    ) -> tuple[Looks, FaceKeypoints]:
        """`keypoints`, and all else that was seen."""
        points = points - HALF
        looks = Looks.of(frames, points[..., :2])
        points, bright = brought(points, looks.lips), looks.bright.numpy()
        rest, sure = self.at_rest(reference)
        lights = [
            light.change(now, rest) if float(sure) * s > 0 else 0 * rest
            for now, s in zip(bright, flag.tolist(), strict=True)
        ]
        return looks, FaceKeypoints.placed(
            points,
            points.new_tensor([[frames.shape[3], frames.shape[2]]]),
            confidence=flag[:, None].expand(-1, POINTS),
            mouth=looks.mouth.float(),
            light=torch.from_numpy(np.stack(lights))[:, None],
        )

    def at_rest(self, reference: Tensor) -> tuple[np.ndarray, float]:
        """The light on the reference's face, and how sure there is one: looked at once, however
        often it is given.
        """
        if self._rest is None or self._rest[0] is not reference:
            frame = self.accept(reference, "reference").float().nan_to_num(0)
            points, flag = places(self, frame)
            bright = Looks.of(frame, (points - HALF)[..., :2]).bright[0].numpy()
            self._rest = reference, bright, float(flag[0])
        return self._rest[1:]

    def expect(self, source: Tensor, placement: Placement | None = None) -> None:
        """Begins to encode the picture, where there are threads for it."""
        self._begun = source, placement, meanwhile(partial(self.encoded, source, placement))

    def rehearse(
        self,
        source: Tensor,
        clip: Iterable[Tensor],
        reference: int | None,
        placement: Placement | None,
    ) -> tuple[MotionModel, Script | None]:
        """Who can animate this picture by this clip, and what a look at the whole clip told."""
        first = -1 if reference is None else reference
        partner = self.partners[0] if self.partners else None
        if partner is None:
            return self, watch(self, clip, 0, first, self.spec.heeds_hands)
        work = self.begun(source, placement) or meanwhile(partial(self.find, source, placement))
        try:
            shown = so_long_as_it_does(work, clip)
            script = watch(self, shown, 0, first, self.spec.heeds_hands)
            work.result()
        except NoSubject:
            return self.faceless(partner, clip), self.told("picture")
        return (partner, self.told("clip")) if script.empty else (self, script)

    def faceless(self, partner: MotionModel, clip: Iterable[Tensor]) -> MotionModel:
        """What moves a picture without a face: by a clip with one, without the light of its mouth
        and its lids, for which there is no place.
        """
        first = next(iter(clip), None)
        if first is None:
            return partner
        first = self.accept(first[:1], "clip").float().nan_to_num(0)
        return partner.unlit() if find_in(self, first) else partner

    def begun(self, source: Tensor, placement: Placement | None) -> Future[FacePortrait] | None:
        """The encoding of this picture, where it was begun; see `expect`."""
        if self._begun is None:
            return None
        picture, place, work = self._begun
        return work if place == placement and same(picture, source.to(picture)) else None

    def find(self, picture: Tensor, placement: Placement | None) -> Face:
        """The face that is meant. 1 3 H W. Raises NoSubject where there is none."""
        face = within(self.faces(picture), placement, picture)
        if face is None:
            raise NoSubject(
                "There is no face in the source picture; choose the model for any subject (flow)."
            )
        return face

    def told(self, what: str) -> None:
        log.warning("%s", NO_FACE.format(what))

    def encode(self, source: Tensor, placement: Placement | None = None) -> FacePortrait:
        """Its mesh, who is in it, what is behind. 1 3 H W, or B: every frame its own source.

        The face is the largest, or the largest within the placement's box. Raises InputError where
        there is none.
        """
        begun, self._begun = self.begun(source, placement), None
        return self.encoded(source, placement) if begun is None else begun.result()

    @torch.inference_mode()
    @CORES.aside()
    def encoded(self, source: Tensor, placement: Placement | None) -> FacePortrait:
        """`encode`, now."""
        picture = self.accept(source, "source").float()
        shown = in_range(picture)
        faces, points = [], []
        for i in range(len(picture)):
            one = picture[i : i + 1]
            face = self.find(one, placement)
            points.append(face.points - HALF)
            made = SourceFace.of(shown[i], points[-1], self.people(one))
            one = shown[i : i + 1]
            seen = faces[0].seen if faces else answers(self, one, points[-1], made)
            held = self.spec.heeds_hands and covered(self, one, points[-1])
            if held and not any(face.covered for face in faces):
                log.warning("%s", COVERED)
            faces.append(replace(made, seen=seen, covered=held))
        size = picture.new_tensor([[picture.shape[3], picture.shape[2]]]).cpu()
        keypoints = FaceKeypoints.placed(
            torch.stack(points), size, confidence=torch.ones(len(points), POINTS)
        )
        return FacePortrait(picture, keypoints, faces=tuple(faces))

    def people(self, picture: Tensor) -> np.ndarray | None:
        """Which pixels are people. 1 3 H W -> h w"""
        if not self.spec.layers:
            return None
        seen = F.interpolate(picture, size=(MASKED, MASKED), mode="bilinear", antialias=True)
        return self.person(seen)[0, 0].cpu().numpy()

    @torch.inference_mode()
    @CORES.aside()
    def motion(
        self, portrait: FacePortrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MotionField:
        """The field that poses the portrait's face so: its mesh over its surroundings."""
        return self.posed(portrait, pose)

    @torch.inference_mode()
    @CORES.aside()
    def moving(self, portrait: FacePortrait, pose: Keypoints) -> MotionField:
        return self.posed(portrait, pose, hides=False)

    def posed(self, portrait: FacePortrait, pose: Keypoints, hides: bool = True) -> MotionField:
        """See `motion`; `hides`: with what is hidden."""
        if pose.count != POINTS or not isinstance(pose, FaceKeypoints):
            raise InputError(
                f"A face is posed by {POINTS} points of a face mesh, and these keypoints have"
                f" {pose.count}; detect them with the same model."
            )
        if not pose.position.isfinite().all():
            raise InputError(
                "Some points of the pose are nowhere (not a number); edited keypoints need a"
                " position each."
            )
        pose = pose.to("cpu")
        if len(portrait.faces) == 1:
            return self.moved(portrait.faces[0], pose, hides).to(self.device)
        parts = [self.moved(face_of(portrait, i), pose[i], hides) for i in range(len(pose))]
        return MotionField.join(parts).to(self.device)

    def moved(self, face: SourceFace, pose: FaceKeypoints, hides: bool = True) -> warp.FaceField:
        """The field of some poses of one face; `hides`: with what is hidden."""
        posed = to_field(pose.space(), face.colours.shape[:2], face.size)
        grids = torch.empty(len(posed), *face.size, 2)
        made = warp.moved(face, posed, grids, hides)
        half = (posed.new_tensor(face.size[::-1]) - 1) / 2
        hidden = [one.hidden for one in made if one.hidden is not None]
        return warp.FaceField(
            grids,
            (torch.from_numpy(1 - np.stack(hidden)[:, None]),) if hidden else (),
            lips=torch.from_numpy(np.stack([one.lips for one in made])).float() / half - 1,
            mouth=pose.mouth,
            shown=posed.new_tensor([one.shown for one in made]),
            light=pose.light,
            seams=torch.from_numpy(np.stack([one.seams for one in made])).float() / half - 1,
            shut=torch.from_numpy(np.stack([one.shut for one in made])).float(),
            skull=torch.stack([one.skull for one in made]),
        )

    @torch.inference_mode()
    @CORES.aside()
    def generate(self, portrait: FacePortrait, field: MotionField) -> Tensor:
        """The source's own pixels, moved, in front of what is behind. B 3 H W float32 in 0..1"""
        told = field if isinstance(field, warp.FaceField) else plain(field)
        if self.device.type != "cpu":
            return on_device.frames(portrait.faces, told, self.device)
        return paint.frames(portrait.faces, told)


def number_of(picture: Tensor) -> tuple[Any, bytes]:
    """By which it is known again."""
    pixels = picture.cpu().contiguous().numpy()
    return pixels.shape, hashlib.blake2b(pixels.data, digest_size=16).digest()


def so_long_as_it_does(work: Future[Any], clip: Iterable[Tensor]) -> Iterator[Tensor]:
    """The clip. Raises what ends the work."""
    for frames in clip:
        if work.done():
            work.result()
        yield frames


def finite(frames: Tensor) -> Tensor:
    """The same, but 0 where they are no numbers."""
    return frames if bool(are_numbers(frames).all()) else frames.nan_to_num(0)


def face_of(portrait: FacePortrait, i: int) -> SourceFace:
    faces = portrait.faces
    return faces[i % len(faces)]


def plain(field: MotionField) -> warp.FaceField:
    """A field from elsewhere."""
    return warp.FaceField(field.grid, field.occlusion, None, field.align_corners)


def within(faces: list[Face], placement: Placement | None, picture: Tensor) -> Face | None:
    """The largest face whose middle lies in the box; None where there is none."""
    if placement is not None:
        half = torch.tensor([picture.shape[3], picture.shape[2]]) / 2
        left, top, right, bottom = placement.source
        faces = [
            face
            for face in faces
            if left <= (at := (face.points[:, :2].mean(0) / half - 1).tolist())[0] <= right
            and top <= at[1] <= bottom
        ]
    return choose(faces, 0)


def recognise(tensors: Any) -> bool:
    """By what its networks are called."""
    return {"mesh.surface.weight", "detector.scores.0.weight"} <= set(tensors)


FAMILY = Family(
    name="face",
    model=FaceModel,
    published=Parameters(),
    recognise=recognise,
    configure=lambda tensors: {},
    assumed=("layers", "heeds_hands"),
)
