"""The faces of a picture with their numbers, so that one can be chosen."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .draw import draw_faces
from .drivers import faces_in
from .media.picture import to_rgb
from .model import MotionModel
from .options import ALL_FACES, Options


def numbered_faces(model: MotionModel, picture: Tensor, options: Options) -> Tensor | None:
    """The source with a frame round each face and its number from the left, as `face` and `drivers`
    count them, bright where it moves. 1 C H W -> 1 3 H W; None where it shows fewer than two.
    """
    shown = to_rgb(picture[:1])
    finder = options.finder_for(model) or (model if model.finds_faces else None)
    faces = faces_in(finder, shown, options.subject)
    if len(faces) < 2:
        return None
    return draw_faces(shown, [face.box for face in faces], moving(faces, options))


def moving(faces: list[Any], options: Options) -> set[int]:
    """The numbers of those that move."""
    own = set(options.drivers)
    free = set(range(1, len(faces) + 1)) - own
    if options.face == ALL_FACES:
        return own | free
    if options.face or not free:
        return own | {options.face} - {0}
    return own | {max(free, key=lambda number: faces[number - 1].size)}
