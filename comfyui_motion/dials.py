"""A face posed by hand: dials, and in-betweens of poses that are keys of an animation.

What a dial does to points is for the family's keypoints to say (`dialled`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from .errors import InputError
from .geometry.easing import smoothstep
from .keypoints import Keypoints
from .model import Portrait

LARGEST = 90.0  # degrees
ANGLES = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Dials:
    """What is added to a face. Angles in degrees, the rest in -1..1, 1 being a strong but natural
    pose. Left and right are the subject's own.
    """

    yaw: float = 0.0  # the head turns to the picture's right
    pitch: float = 0.0  # it nods down
    roll: float = 0.0  # it tilts clockwise
    blink: float = 0.0  # both eyes shut
    wink_left: float = 0.0
    wink_right: float = 0.0
    brows: float = 0.0  # raised; below 0 drawn together
    gaze: tuple[float, float] = (0.0, 0.0)  # to the picture's right, and down
    mouth_open: float = 0.0
    mouth_wide: float = 0.0
    pucker: float = 0.0
    smile: float = 0.0

    def __post_init__(self) -> None:
        for name, value in self.numbers().items():
            most = LARGEST if name in ANGLES else 1.0
            if not (math.isfinite(value) and abs(value) <= most):
                raise InputError(f"The dial {name} goes from {-most:g} to {most:g}, not {value!r}.")

    def numbers(self) -> dict[str, float]:
        """Every dial as one number, the gaze as gaze_x and gaze_y. Raises InputError."""
        try:
            values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
            x, y = values.pop("gaze")
            return {n: float(v) for n, v in {**values, "gaze_x": x, "gaze_y": y}.items()}
        except (TypeError, ValueError):
            raise InputError(
                f"Dials are numbers, and the gaze is two of them; these are {self}."
            ) from None

    @staticmethod
    def of(numbers: Mapping[str, float]) -> Dials:
        """From single numbers by name, as `numbers` gives them. Raises InputError."""
        known = Dials().numbers()
        unknown = [name for name in numbers if name not in known]
        if unknown:
            raise InputError(f"There is no dial {str(unknown[0])!r}; there are {', '.join(known)}.")
        values = {**known, **numbers}
        gaze = values.pop("gaze_x"), values.pop("gaze_y")
        return Dials(**values, gaze=gaze)

    def towards(self, other: Dials, share: float) -> Dials:
        """Between two poses: 0 is this one, 1 the other."""
        ours, theirs = self.numbers(), other.numbers()
        return Dials.of({n: (1 - share) * ours[n] + share * theirs[n] for n in ours})


@runtime_checkable
class Dialled(Protocol):
    """Keypoints of a face that knows dials."""

    def dialled(self, dials: Dials) -> Keypoints:
        """The same face with the dials added. B K"""
        ...


def pose(
    of: Portrait | Keypoints,
    dials: Dials | None = None,
    model: Any = None,
    source: Keypoints | None = None,
    **named: Any,
) -> Keypoints:
    """A face posed by hand: yaw, pitch, roll (degrees), blink, wink_left, wink_right, brows,
    gaze=(x, y), mouth_open, mouth_wide, pucker, smile (-1..1). See `Dials`.

    of      a portrait, whose source is posed; or keypoints, a clip's motion included: the dials are
            added to every picture of them
    model   what stitches the change to the picture round the face, where it can; None: nothing does
    source  the portrait's own keypoints, for stitching, where `of` is a clip's motion; None: `of`
            is the source at rest

    Raises InputError for a dial out of range, and for points that are no face's.
    """
    keypoints = of.keypoints if isinstance(of, Portrait) else of
    if not isinstance(keypoints, Dialled):
        raise InputError(
            "Dials are known for faces, by the models face and LivePortrait; these keypoints are"
            " another model's."
        )
    try:
        chosen = dataclasses.replace(dials or Dials(), **named)
    except TypeError as error:
        known = ", ".join(f.name for f in dataclasses.fields(Dials))
        raise InputError(f"There is no such dial ({error}); there are {known}.") from None
    posed = keypoints.dialled(chosen)
    if model is None:
        return posed
    return model.restitch(keypoints if source is None else source, keypoints, posed)


def eased(keys: Mapping[int, Dials], frames: int) -> list[Dials]:
    """A pose for each of so many frames, from keys by frame number: held before the first and after
    the last, in between slow at both ends (smoothstep). Raises InputError.
    """
    if not keys or frames < 1:
        raise InputError("An animation of poses has at least one key and one frame.")
    numbers = sorted(keys)
    return [_at(keys, numbers, frame) for frame in range(frames)]


def around(dials: Dials, frame: int, ease: int, frames: int) -> list[Dials]:
    """A pose for each of so many frames: all of it in one frame, eased in over `ease` frames before
    and out over as many after; a face at rest in all others.
    """
    keys = {frame - ease - 1: Dials(), frame: dials, frame + ease + 1: Dials()}
    return [_at(keys, sorted(keys), number) for number in range(frames)]


def _at(keys: Mapping[int, Dials], numbers: list[int], frame: int) -> Dials:
    before = max((n for n in numbers if n <= frame), default=numbers[0])
    after = min((n for n in numbers if n >= frame), default=numbers[-1])
    if before >= after:
        return keys[after] if frame <= after else keys[before]
    share = (frame - before) / (after - before)
    return keys[before].towards(keys[after], smoothstep(share))
