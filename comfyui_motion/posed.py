"""Keypoints in space, placed from parts: a face's own shape, what its expression adds, how the head
is turned, how large it is and where.

x = scale (canonical R + expression) + translation (face-vid2vid, Wang et al., CVPR 2021, eq. 2;
LivePortrait, Guo et al., 2024, eq. 2). Points are (x, y, z), x right, y down, z into the picture.
R acts on rows. Angles are (pitch, yaw, roll) in degrees. The 21 points are numbered as LivePortrait
learned them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .dials import Dials
from .errors import InputError, boundary
from .expression import added, angles
from .geometry.rotation import degrees, matrix, nearest_rotation, power
from .keypoints import FORMAT, SHAPES, Keypoints, gaussian_in_time, numbers_of, rounded
from .retarget import Strengths
from .shapes import as_lists, check_shape

if TYPE_CHECKING:
    from typing_extensions import Self

PARTS = {
    "canonical": "B K 3",
    "expression": "B K 3",
    "rotation": "B 3",
    "scale": "B",
    "translation": "B 3",
    "shift": "B K 3",
    "openness": "B 3",
}
OPTIONAL = ("shift", "openness")
# of what is written down: a hundredth of a pixel is 4e-5
DECIMALS = {**dict.fromkeys(PARTS, 6), "rotation": 5, "shift": 5, "openness": 3}
COUNT = 21
LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)
# what a driver's expression says of any face; the rest is the driver's own shape (LivePortrait)
WHOLE = (1, 2, 6, *range(11, 21))
PARTLY = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))


@dataclass(frozen=True, eq=False)
class PosedKeypoints(Keypoints):
    """K points in space on each of B pictures, and the parts that place them.

    The parts are what counts: `position` and `depth` are where they place the points in what the
    model was shown, or where that lies in a whole picture. Make these keypoints with `placed`.
    """

    shapes: ClassVar[Mapping[str, str]] = {**SHAPES, **PARTS, "depth": "B K"}

    _: KW_ONLY
    depth: Tensor  # B K, z
    canonical: Tensor  # B K 3: the face's shape, at rest and frontal
    expression: Tensor  # B K 3: what is added to it, after it is turned
    rotation: Tensor  # B 3: pitch, yaw, roll in degrees
    scale: Tensor  # B
    translation: Tensor  # B 3, of which z is not used
    shift: Tensor | None = None  # B K 3: what networks of points (stitching) added to the place
    # B 3: how far left eye, right eye (as the viewer sees) and lips are open, over the distance of
    # their corners, where a finder saw the face. It places nothing; networks of eyes and lips ask
    openness: Tensor | None = None

    @classmethod
    def placed(
        cls,
        canonical: Tensor,
        expression: Tensor,
        rotation: Tensor,
        scale: Tensor,
        translation: Tensor,
        shift: Tensor | None = None,
        openness: Tensor | None = None,
    ) -> Self:
        """From the parts, float32. Raises InputError where their shapes do not match."""
        given = {
            "canonical": canonical,
            "expression": expression,
            "rotation": rotation,
            "scale": scale,
            "translation": translation,
            "shift": shift,
            "openness": openness,
        }
        parts = {name: part.float() for name, part in given.items() if part is not None}
        for name, part in parts.items():
            check_shape(name, part, PARTS[name])
        x = _place(parts)
        return cls(position=x[..., :2], depth=x[..., 2], **parts)

    @property
    def x(self) -> Tensor:
        """The points in space, as the parts place them. B K 3"""
        return _place(self.parts())

    @property
    def turn(self) -> Tensor:
        """R, which rows are multiplied by. B 3 3"""
        return matrix(self.rotation)

    def parts(self) -> dict[str, Tensor]:
        """The parts that are there, by name."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}

    def but(self, **parts: Tensor | None) -> Self:
        """The same with some parts replaced, placed anew."""
        told: dict[str, Any] = {**self.parts(), **parts}
        return type(self).placed(**told)

    def expanded(self, count: int) -> Self:
        """One picture's points as those of `count` pictures."""
        return self.map(lambda value: value.expand(count, *value.shape[1:]))

    def shifted(self, change: Tensor) -> Self:
        """Every point moved after all else. B K 3"""
        return self.but(shift=change if self.shift is None else self.shift + change)

    def neutral(self) -> Self:
        """The same head in the same pose with no expression.

        Raises InputError where the points are not LivePortrait's 21.
        """
        check_count(self, "A neutral face is")
        return self.but(expression=NEUTRAL.to(self.expression).expand_as(self.expression))

    def dialled(self, dials: Dials) -> Self:
        """See `pose`; known for LivePortrait's 21 points."""
        check_count(self, "Dials are known")
        return self.but(
            expression=self.expression + added(dials, self.expression),
            rotation=self.rotation + angles(dials, self.rotation),
        )

    def smooth(self, sigma: float) -> Self:
        """Every part averaged over time with a Gaussian of `sigma` frames; rotations as
        rotations.
        """
        if sigma <= 0:
            return self
        parts = {n: gaussian_in_time(v, sigma) for n, v in self.parts().items() if n != "rotation"}
        turn = nearest_rotation(gaussian_in_time(self.turn, sigma))
        return self.but(**parts, rotation=degrees(turn))

    def retargeted(
        self,
        reference: Keypoints | None,
        source: Keypoints,
        mode: str,
        strength: float | Tensor | Strengths,
    ) -> PosedKeypoints:
        """See `retarget`."""
        source = check_posed(source)
        if mode == "absolute":
            return absolute(self, source).between(source, strength)
        if reference is None:
            raise InputError(
                "Relative motion needs a reference: the driver's keypoints at rest, such as"
                " driving[:1]."
            )
        return relative(self, check_posed(reference), source).between(source, strength)

    def between(self, rest: PosedKeypoints, strength: float | Tensor | Strengths) -> Self:
        """As far from `rest` as these are, times the strength: 0 is rest, 1 these.

        Every part by itself: a head turns about its axis, and does not shrink on the way. Of K
        strengths each moves its own point in a straight line.
        """
        rest = rest.expanded(len(self))
        if isinstance(strength, Tensor) and strength.ndim:
            return self.shifted((strength.to(self.position)[:, None] - 1) * (self.x - rest.x))
        told = strength if isinstance(strength, Strengths) else Strengths.all(float(strength))
        if told == Strengths():
            return self
        size = told.least
        shift = None if self.shift is None else _or_zero(rest).lerp(self.shift, size)
        return self.but(
            canonical=rest.canonical.lerp(self.canonical, size),
            expression=rest.expression.lerp(self.expression, shares(self, told)),
            rotation=degrees(power(self.turn @ rest.turn.mT, told.head) @ rest.turn),
            scale=rest.scale * (self.scale / rest.scale).pow(size),
            translation=rest.translation.lerp(self.translation, told.head),
            shift=shift,
        )

    def unlike(self, source: PosedKeypoints) -> Tensor:
        """How far each is from a good rest for that source: a head that looks straight at the
        viewer, with mouth and eyes as the source has them. B

        Either is counted against how much of it there is in the whole clip.
        """
        aside = self.rotation.square().sum(1)
        change = self.expression - source.expression
        points = list(EYES + LIPS) if self.count == COUNT else slice(None)
        apart = change[:, points].square().sum((1, 2))
        return aside / aside.mean().clamp(min=1) + apart / apart.mean().clamp(min=1e-6)

    def to_json(self, decimals: int | None = None) -> str:
        """The parts as a versioned document, under 2 kB a frame; a shape that all frames share is
        written once.
        """
        parts = self.parts()
        if (self.canonical == self.canonical[:1]).all():
            parts["canonical"] = self.canonical[:1]
        numbers = {
            name: rounded(as_lists(part), decimals or DECIMALS[name])
            for name, part in parts.items()
        }
        return json.dumps({"format": FORMAT, "version": 2, **numbers}, separators=(",", ":"))

    @staticmethod
    def from_parts(document: Mapping[str, Any]) -> PosedKeypoints:
        """What `to_json` wrote. Raises InputError for anything else."""
        lacking = [name for name in PARTS if name not in document and name not in OPTIONAL]
        if lacking:
            raise InputError(
                f"These keypoints are placed from parts, and {lacking[0]} is missing; they are"
                f" {', '.join(name for name in PARTS if name not in OPTIONAL)}."
            )
        parts = {
            name: numbers_of(name, document[name])
            for name in PARTS
            if document.get(name) is not None
        }
        with boundary(InputError, "The parts of these keypoints do not fit together ({reason})."):
            if len(parts["canonical"]) == 1:
                parts["canonical"] = parts["canonical"].expand(len(parts["expression"]), -1, -1)
            return PosedKeypoints.placed(**parts)


def relative(
    driving: PosedKeypoints, reference: PosedKeypoints, source: PosedKeypoints
) -> PosedKeypoints:
    """The source, changed as the driver has changed since the reference (LivePortrait, eq. 8-11).

    R = (R_driving R_reference^T) R_source; expression and translation by their difference, scale by
    its ratio. The shape stays the source's.
    """
    source = source.expanded(len(driving))
    return source.but(
        expression=source.expression + (driving.expression - reference.expression),
        rotation=degrees(driving.turn @ reference.turn.mT @ source.turn),
        scale=source.scale * (driving.scale / reference.scale),
        translation=source.translation + (driving.translation - reference.translation),
        openness=None,
    )


def absolute(driving: PosedKeypoints, source: PosedKeypoints) -> PosedKeypoints:
    """The driver's turn, place and expression on the source's shape and scale; of the expression
    only what is not the driver's own shape.
    """
    source = source.expanded(len(driving))
    expression = driving.expression
    if source.count == COUNT:
        theirs = torch.zeros(COUNT, 3, dtype=torch.bool, device=expression.device)
        theirs[list(WHOLE)] = True
        theirs[tuple(zip(*PARTLY, strict=True))] = True
        expression = torch.where(theirs, expression, source.expression)
    return source.but(
        expression=expression,
        rotation=driving.rotation,
        translation=driving.translation,
        openness=None,
    )


def check_count(keypoints: Keypoints, what: str) -> None:
    """Raises InputError unless these are LivePortrait's 21 points."""
    if keypoints.count != COUNT:
        raise InputError(
            f"{what} for LivePortrait's {COUNT} points, and there are {keypoints.count} here; leave"
            " it out."
        )


def shares(keypoints: PosedKeypoints, told: Strengths) -> Tensor:
    """How far each point's expression goes. K 1. Raises InputError where regions are not known."""
    share = keypoints.position.new_full((keypoints.count, 1), told.expression)
    if told.eyes == told.mouth == told.expression:
        return share
    check_count(keypoints, "Eyes and mouth are known")
    share[list(EYES)], share[list(LIPS)] = told.eyes, told.mouth
    return share


def check_posed(keypoints: Keypoints) -> PosedKeypoints:
    """The same. Raises InputError for keypoints that have no parts."""
    if not isinstance(keypoints, PosedKeypoints):
        raise InputError(
            "The driver's keypoints are placed from parts and the source's are plain points; both"
            " must come from the same model."
        )
    return keypoints


def _or_zero(keypoints: PosedKeypoints) -> Tensor:
    return torch.zeros_like(keypoints.canonical) if keypoints.shift is None else keypoints.shift


def _place(parts: Mapping[str, Tensor]) -> Tensor:
    """x. B K 3"""
    x = parts["canonical"] @ matrix(parts["rotation"]) + parts["expression"]
    x = parts["scale"][:, None, None] * x
    x = x + F.pad(parts["translation"][:, None, :2], (0, 1))  # depth stays
    return x + parts["shift"] if "shift" in parts else x


# the expression of a face at rest, which a driver of a single picture is measured from
NEUTRAL = torch.tensor(
    [
        [-9.4524e-05, 0.00024222, -4.00974e-05],
        [0.000208596, 0.000468054, 1.27464e-05],
        [-0.000124602, 0.000324972, 4.425e-06],
        [0.000119652, -0.000456624, 5.40852e-05],
        [-0.000265254, -7.4598e-05, -1.5528e-05],
        [-3.34884e-05, -0.000183036, -3.49404e-06],
        [-4.75428e-07, -4.52466e-07, 1.59498e-06],
        [-0.000541296, 0.0026328, 7.2486e-06],
        [-1.1694e-05, 5.00502e-06, 9.9888e-06],
        [8.0286e-07, 5.19132e-06, -0.000409344],
        [0.000166878, -1.9815e-05, -8.8548e-05],
        [-1.51536e-05, 8.2506e-05, 5.94012e-06],
        [-2.61054e-07, 2.7591e-06, 2.21028e-06],
        [-6.6282e-05, -6.8286e-05, -3.45318e-06],
        [-0.00083262, -0.00179592, -2.59176e-06],
        [6.9714e-06, 3.65514e-05, -1.8978e-06],
        [-4.80876e-06, 7.1148e-06, -1.03236e-05],
        [-0.00063684, -0.0011661, 5.62314e-05],
        [0.00028329, -1.45656e-05, 1.09746e-05],
        [-4.16022e-06, -0.0150906, -0.0025494],
        [0.000222474, 0.00562788, 0.00272646],
    ]
)
