"""Keypoints corrected by hand: keys on points and frames, pins and locks, as one small document.

A key says where a point is to be in a frame. What that adds to where it was fades in and out
between keys and stays before the first and after the last, so that the clip's own motion goes on
beneath. Positions are those of `Keypoints`: (x, y), -1 to 1. web/edits.js shows the same before
anything has run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .doors.documents import is_kept, is_list, is_table, read_json
from .doors.words import shown
from .errors import InputError
from .geometry.easing import smoothstep
from .keypoints import FARTHEST, Keypoints

FORMAT = "comfyui_motion.edits"
VERSION = 1
MOST = 100_000  # keys of one document


@dataclass(frozen=True, eq=False)
class Edits:
    """What was done by hand to a clip's keypoints."""

    keys: Mapping[int, Mapping[int, tuple[float, float]]] = field(
        default_factory=dict[int, Mapping[int, tuple[float, float]]]
    )  # point → frame → where it is to be
    pinned: frozenset[int] = frozenset()  # points that stay where their first key has them
    locked: frozenset[int] = frozenset()  # points that no neighbour takes along

    def apply(self, keypoints: Keypoints, reach: float = 0.0) -> Keypoints:
        """The keypoints, corrected. `reach` is how far, in half pictures, a moved point takes its
        neighbours along, fading with distance; 0: not at all.

        Raises InputError for points or frames that are not there.
        """
        self._check(keypoints)
        moved = [p for p in sorted(self.keys) if self.keys[p]] + sorted(
            self.pinned - self.keys.keys()
        )
        if not moved:
            return keypoints
        position = keypoints.position
        added = torch.stack([self._added(position, point) for point in moved], dim=1)  # B M 2
        change = torch.zeros_like(position)
        if reach > 0:
            change = _spread(position, moved, added, reach)
            change[:, sorted(self.locked)] = 0
        change[:, moved] = added
        return _shifted(keypoints, change)

    def _added(self, position: Tensor, point: int) -> Tensor:
        """What the point's keys add to each frame. B 2"""
        own = position[:, point]  # B 2
        keys = sorted(self.keys.get(point, {}).items())
        if point in self.pinned:
            place = own.new_tensor(keys[0][1]) if keys else own[0]
            return place - own
        frames = [frame for frame, _ in keys]
        offsets = torch.stack([own.new_tensor(place) - own[frame] for frame, place in keys])
        return between(frames, offsets, len(own))

    def _check(self, keypoints: Keypoints) -> None:
        for point in {*self.keys, *self.pinned, *self.locked}:
            if not 0 <= point < keypoints.count:
                raise InputError(
                    f"These edits move point {point}, and there are {keypoints.count}, counted from"
                    " 0: they belong to another model's keypoints."
                )
        for frame in {frame for keys in self.keys.values() for frame in keys}:
            if not 0 <= frame < len(keypoints):
                raise InputError(
                    f"These edits have a key at frame {frame}, and the clip has {len(keypoints)}"
                    " frames, counted from 0: they belong to a longer clip."
                )

    def to_json(self) -> str:
        keys = {
            str(point): {str(frame): list(place) for frame, place in frames.items()}
            for point, frames in self.keys.items()
        }
        return json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "keys": keys,
                "pinned": sorted(self.pinned),
                "locked": sorted(self.locked),
            }
        )

    @staticmethod
    def from_json(text: str) -> Edits:
        """What `to_json`, or the editor, wrote; nothing written is nothing done. Raises
        InputError.
        """
        if not text.strip():
            return Edits()
        document = _document(text)
        keys = {
            _number(point): {_number(frame): _place(place) for frame, place in frames.items()}
            for point, frames in _table(document.get("keys", {})).items()
            if _table(frames)
        }
        if sum(map(len, keys.values())) > MOST:
            raise InputError(f"These edits have more than {MOST} keys: that is no work of hands.")
        pinned, locked = (
            frozenset(_number(point) for point in _list(document.get(name)))
            for name in ("pinned", "locked")
        )
        return Edits(keys, pinned, locked)


def between(frames: list[int], values: Tensor, total: int) -> Tensor:
    """Values at keyed frames, eased from one to the next (3 t^2 - 2 t^3), the ends held.

    N ... -> total ...
    """
    at = torch.arange(total, dtype=torch.float32, device=values.device)
    marks = torch.tensor(frames, dtype=torch.float32, device=values.device)
    after = torch.searchsorted(marks, at, right=True).clamp(max=len(frames) - 1)
    before = (torch.searchsorted(marks, at, right=True) - 1).clamp(min=0)
    span = (marks[after] - marks[before]).clamp(min=1e-6)
    eased = smoothstep((at - marks[before]) / span).view(-1, *[1] * (values.ndim - 1))
    return torch.lerp(values[before], values[after], eased)


def _spread(position: Tensor, moved: list[int], added: Tensor, reach: float) -> Tensor:
    """What neighbours take over: each moved point's change by its nearness. B K 2"""
    apart = torch.cdist(position, position[:, moved])  # B K M
    weight = torch.exp(-2 * (apart / reach).square())
    return weight @ added / weight.sum(-1, keepdim=True).clamp(min=1)


def _shifted(keypoints: Keypoints, change: Tensor) -> Keypoints:
    shifted = getattr(keypoints, "shifted", None)
    if shifted is not None:  # points in space are placed by their own kind
        return shifted(torch.nn.functional.pad(change, (0, 1)))
    return replace(keypoints, position=keypoints.position + change)


def _document(text: str) -> dict[str, Any]:
    document = read_json(text, InputError, "The text of edits", "empty the field to begin anew")
    if not is_kept(document, FORMAT, VERSION):
        raise InputError(
            f'Edits are a JSON object whose "format" is "{FORMAT}" and "version" {VERSION}, as the'
            " editor writes them; empty the field to begin anew."
        )
    return document


def _table(value: Any) -> dict[str, Any]:
    if not is_table(value):
        raise InputError(f"Edits keep keys as point, frame, place, and here is {shown(value)}.")
    return value


def _list(value: Any) -> list[Any]:
    if value is None or is_list(value):
        return value or []
    raise InputError(f"Edits list the points they pin and lock, and here is {shown(value)}.")


def _number(value: Any) -> int:
    text = str(value)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InputError(f"Edits number points and frames from 0, and here is {shown(value)}.")
    return int(text)


def _place(value: Any) -> tuple[float, float]:
    numbers = value if is_list(value) and len(value) == 2 else []
    if not numbers or not all(isinstance(v, int | float) and abs(v) <= FARTHEST for v in numbers):
        raise InputError(f"Edits place points at [x, y], -1 to 1, and here is {shown(value)}.")
    return float(numbers[0]), float(numbers[1])
