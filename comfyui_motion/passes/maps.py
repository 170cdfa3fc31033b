"""What each pass of a frame holds, as planes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real

import torch
from torch import Tensor

from ..errors import InputError
from ..field import resize
from ..fields.follow import Frame, vectors
from ..fields.inverse import visible_map
from ..fields.stmap import check_v
from ..media.exr import DATA, Layer

LINEAR, CODED = "lin_rec709_scene", "srgb_rec709_scene"
COLOURS = {"linear": LINEAR, "srgb": CODED}
PICTURES, VECTORS = ("beauty", "plate"), ("forward", "backward")
PASSES = (*PICTURES, "stmap", *VECTORS, "occlusion", "mattes")


@dataclass(frozen=True)
class Form:
    """How the numbers of passes are told."""

    v: str = "up"  # or "down": of maps and vectors
    colour: str = "linear"  # or "srgb": of pictures in EXR
    reach: float | None = None  # pixels: vectors are 0.5 for none, 0 and 1 for so many either way
    premultiplied: bool = True  # pictures with alpha

    def __post_init__(self) -> None:
        check_v(self.v)
        if self.colour not in COLOURS:
            raise InputError(f"colour must be {' or '.join(COLOURS)}, and is {self.colour!r}.")
        if self.reach is not None and not (isinstance(self.reach, Real) and 0 < self.reach < 1e6):
            raise InputError(
                f"reach is the largest displacement in pixels, above 0, and is {self.reach!r}."
            )


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame, as its passes need it."""

    frame: Frame
    pictures: Mapping[str, Tensor]  # beauty, plate: C h w in 0..1, sRGB-coded
    mattes: Mapping[str, Tensor]  # by part: h w in 0..1


def layer(
    name: str,
    now: Moment,
    before: Moment | None,
    after: Moment | None,
    size: tuple[int, int],
    form: Form,
) -> Layer:
    """One pass of one frame; of a neighbour that is missing nothing is known."""
    if name in PICTURES:
        return _picture(name, now.pictures[name], size, form)
    if name == "stmap":
        return _stmap(now, size, form)
    if name == "occlusion":
        hidden = 1 - visible_map(now.frame.field, size)[0, 0]
        return _layer(name, {"A": hidden})
    if name in VECTORS:
        return _vectors(name, now, before if name == "backward" else after, size, form)
    return _layer(name, {"A": resize(now.mattes[name][None, None].float(), *size)[0, 0]})


def _layer(name: str, planes: Mapping[str, Tensor], colour: str = DATA) -> Layer:
    return Layer(
        name, {f"{name}.{c}": plane.float().cpu().numpy() for c, plane in planes.items()}, colour
    )


def _picture(name: str, picture: Tensor, size: tuple[int, int], form: Form) -> Layer:
    """The beauty's channels have no layer's name: it is what a file shows."""
    picture = resize(picture[None].float(), *size)[0]
    picture = picture.expand(3, -1, -1) if len(picture) == 1 else picture
    colours, alpha = picture[:3], picture[3:]
    if form.colour == "linear":
        colours = to_linear(colours)
    if len(alpha) and form.premultiplied:
        colours = colours * alpha
    planes = dict(zip("RGBA", (*colours, *alpha), strict=False))
    made = _layer(name, planes, COLOURS[form.colour])
    if name != "beauty":
        return made
    return replace(made, channels={n.split(".")[1]: p for n, p in made.channels.items()})


def to_linear(colours: Tensor) -> Tensor:
    """sRGB-coded values to linear light (IEC 61966-2-1)."""
    low, high = colours / 12.92, ((colours.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(colours <= 0.04045, low, high)


def to_coded(colours: Tensor) -> Tensor:
    """Linear light to sRGB-coded values (IEC 61966-2-1)."""
    low, high = colours * 12.92, 1.055 * colours.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(colours <= 0.0031308, low, high)


def _stmap(now: Moment, size: tuple[int, int], form: Form) -> Layer:
    x, y, _ = now.frame.field.to_stmap(*size)[0]
    seen = visible_map(now.frame.field, size)[0, 0]
    return _layer("stmap", {"R": x, "G": y if form.v == "up" else 1 - y, "A": seen})


def _vectors(
    name: str, now: Moment, other: Moment | None, size: tuple[int, int], form: Form
) -> Layer:
    if other is None:
        moved, known = torch.zeros(2, *size), torch.zeros(size, dtype=torch.bool)
    else:
        moved, known = vectors(now.frame, other.frame, *size)
    u, v = moved
    v = -v if form.v == "up" else v
    if form.reach is not None:
        u, v = ((part / (2 * form.reach) + 0.5).clamp(0, 1) for part in (u, v))
    return _layer(name, {"u": u, "v": v, "A": known})
