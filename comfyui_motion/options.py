"""How a performance is carried over: one set of options for Python, the command line
and the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .driving import Frames
from .errors import InputError
from .framing.canvas import MODES as FITS
from .framing.canvas import Box
from .framing.find import check_finder
from .framing.plan import BEST, Framing
from .model import MotionModel
from .retarget import MODES, Strengths, check_strength
from .shapes import check_numbers, check_shape

SIZES = ("source", "model")
AUTO = "auto"
ALL_FACES = -1
LARGEST = 2**31 - 1  # of what is counted
OF_HEADS = ("neutral_source", "published", "close_lips", "retarget_eyes", "retarget_lips")


@dataclass(frozen=True, eq=False)
class Options:
    """What `animate` and `perform` are asked. Checked when made: InputError names the option.

    mode        "absolute", "relative" or "avd", as `retarget` has them; so are adapt_scale and
                strength
    size        "model": the network's own pictures. "source": the source's pixels moved at its own
                size, the network's where they are hidden
    batch_size  frames at a time; None: by the device. Halved where memory runs out
    reference   the driving frame that relative motion is measured from; -1: the best one, which is
                the one whose keypoints lie most as the source's, or for faces the most neutral one;
                None: what suits the model, for faces the best one, for others frame 0
    reference_picture  1 C H W in 0..1: the driver's face at rest, framed as the clip is; relative
                motion is measured from it, and from no frame of the clip
    head, expression, eyes, mouth  how far each part of a face goes, times strength; for models that
                know them (face, LivePortrait)
    fit         how pictures come to the model's square: "stretch", "letterbox" or "crop"
    subject     where in the source what moves is: (left, top, right, bottom) in its pixels; None:
                all of it. Motion fades out beyond
    driving_subject  where the same thing is in the driving frames, likewise
    finder      what finds the face of picture and clip, for the boxes that are not given, so that
                the same points meet, and for the best reference frame: "auto" is what a model for
                faces brings along; motion.load("face"); or None: nobody looks. Where there is no
                face all is as without it, and the log tells. See `find_subject`
    face        which of several faces moves, counted from the left; 0: the largest; -1: all of them
                (LivePortrait)
    drivers     further driving clips, by the number of the face that each moves, while `driving`
                moves what `face` says of the others; to the end of the shortest (LivePortrait)
    neutral_source  start from the source's face without its expression (LivePortrait)
    close_lips  start from the source's face with its lips closed, by the retargeting network
                (LivePortrait)
    retarget_eyes, retarget_lips  lids, or lips, as far open as the driver's are, by the retargeting
                networks, in place of the driver's change (LivePortrait)
    published   the published result: no detail of the source's, and stitched at rest too
                (LivePortrait)
    only        (first, stop): the driving frames that are made, while all are looked at; so parts
                of a clip, made apart, are those of the whole. None: all
    driver_shown  whether steps hold the driving frames too. Without them (B 3 0 0 in their place) a
                clip that the model looks at whole beforehand, as face does, is read once, not twice
    occlusion_shown  whether steps hold what is hidden, and their fields do. Without it (B 1 0 0 in
                its place) face takes a tenth less time
    """

    mode: str = "relative"
    size: str = "model"
    batch_size: int | None = None
    adapt_scale: bool = True
    strength: float | Tensor = 1.0  # one number, or K: one a keypoint
    reference: int | None = None
    fit: str = "stretch"
    subject: Box | None = None
    driving_subject: Box | None = None
    finder: Any = AUTO
    head: float = 1.0
    expression: float = 1.0
    eyes: float = 1.0
    mouth: float = 1.0
    face: int = 0
    neutral_source: bool = False
    published: bool = False
    reference_picture: Tensor | None = None
    drivers: Mapping[int, Frames] = field(default_factory=dict[int, Frames])
    close_lips: bool = False
    retarget_eyes: bool = False
    retarget_lips: bool = False
    only: tuple[int, int] | None = None
    driver_shown: bool = True
    occlusion_shown: bool = True

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, MODES)
        if self.size not in SIZES:
            raise InputError(f'size must be "model" or "source", and is {self.size!r}.')
        _check_choice("fit", self.fit, FITS)
        _check_whole("batch_size", self.batch_size, 1, "1 or more, or None for the device's own")
        _check_whole(
            "reference", self.reference, BEST, f"a frame number, or {BEST} for the best one"
        )
        check_strength(self.strength)
        check_strength(self.parts)
        _check_whole("face", self.face, ALL_FACES, "a number from the left, 0 or -1")
        if self.only is not None and not 0 <= self.only[0] < self.only[1]:
            raise InputError(
                f"only must be (first, stop), frames from 0 and stop beyond first, and is"
                f" {tuple(self.only)}."
            )
        for number in self.drivers:
            _check_whole("drivers' number", number, 1, "a face's, counted from the left, 1 or more")
        if self.reference_picture is not None:
            check_shape("reference_picture", self.reference_picture, "1 C H W")
            check_numbers(self.reference_picture, "reference_picture")
        for name in ("subject", "driving_subject"):
            _check_sides(name, getattr(self, name))
        if self.finder is not None and self.finder != AUTO:
            _check_finder(self.finder)

    @property
    def parts(self) -> Strengths:
        """What each part of a face is asked, before the strength of all."""
        return Strengths(self.head, self.expression, self.eyes, self.mouth)

    @property
    def strengths(self) -> float | Tensor | Strengths:
        """As `retarget` takes it: one strength where all parts share it. Raises InputError."""
        if self.parts == Strengths():
            return self.strength
        if isinstance(self.strength, Tensor) and self.strength.ndim:
            raise InputError(
                "strength is one for each keypoint here, so head, expression, eyes and mouth cannot"
                " have theirs; leave one or the other."
            )
        return self.parts.times(float(self.strength))

    @property
    def of_heads(self) -> list[str]:
        """What of LivePortrait's own is asked, by name."""
        return [name for name in OF_HEADS if getattr(self, name)]

    def finder_for(self, model: MotionModel) -> Any:
        """Who looks for faces, for this model; None: nobody."""
        if self.finder != AUTO:
            return self.finder
        return None if model.finder is None else model.finder()

    @property
    def framing(self) -> Framing:
        """Of these, what says how pictures come to the model."""
        return Framing(self.fit, self.subject, self.driving_subject)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be {', '.join(choices)}, and is {value!r}.")


def _check_whole(name: str, value: int | None, least: int, wanted: str) -> None:
    if value is not None and (
        isinstance(value, bool) or int(value) != value or not least <= value <= LARGEST
    ):
        raise InputError(f"{name} must be {wanted}, and is {value!r}.")


def _check_finder(finder: Any) -> None:
    try:
        check_finder(finder)
    except InputError as error:
        raise InputError(f'finder is "auto", None or a model. {error}') from None


def _check_sides(name: str, box: Box | None) -> None:
    if box is not None and (
        len(box) != 4
        or not all(map(math.isfinite, box))
        or not (box[0] < box[2] and box[1] < box[3])
    ):
        raise InputError(
            f"{name} must be (left, top, right, bottom) in pixels, right beyond left and bottom"
            f" below top, and is {tuple(box)}."
        )
