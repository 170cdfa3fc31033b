"""Poses as a document: keys by frame, each a few dials, with poses that were given a name.

`eased` makes a pose of every frame of them. web/poses.js shows the same on the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .dials import Dials, eased
from .doors.documents import is_kept, is_table, read_json
from .doors.limits import how_to_raise, limits
from .doors.words import shown
from .errors import InputError

FORMAT = "comfyui_motion.poses"
VERSION = 1
LAST = 1_000_000  # frame: no clip posed by hand is longer
LARGEST = 1e6  # of a dial


@dataclass(frozen=True)
class Poses:
    """What was set by hand, and what was kept for another time."""

    keys: Mapping[int, Dials] = field(default_factory=lambda: {0: Dials()})
    saved: Mapping[str, Dials] = field(default_factory=dict[str, Dials])

    @property
    def length(self) -> int:
        """Frames from the first to the last key."""
        return max(self.keys) + 1

    def frames(self, count: int) -> list[Dials]:
        """One pose a frame, eased from key to key, held beyond them."""
        return eased(self.keys, count)

    def to_json(self) -> str:
        keys = {str(frame): _changed(dials) for frame, dials in sorted(self.keys.items())}
        saved = {name: _changed(dials) for name, dials in self.saved.items()}
        return json.dumps({"format": FORMAT, "version": VERSION, "keys": keys, "saved": saved})

    @staticmethod
    def from_json(text: str) -> Poses:
        """What `to_json`, or the page, wrote; nothing written is a face at rest. Raises
        InputError.
        """
        if not text.strip():
            return Poses()
        document = read_json(text, InputError, "The text of poses", "empty the field to begin anew")
        if not is_kept(document, FORMAT, VERSION):
            raise InputError(
                f'Poses are a JSON object whose "format" is "{FORMAT}" and "version" {VERSION}, as'
                " the editor writes them; empty the field to begin anew."
            )
        keys = {_frame(frame): _dials(d) for frame, d in _table(document.get("keys")).items()}
        if keys and max(keys) >= limits().frames:
            frames = max(keys) + 1
            raise InputError(f"These poses last {frames} frames: {how_to_raise('frames', frames)}.")
        saved = {name: _dials(d) for name, d in _table(document.get("saved")).items()}
        return Poses(keys or {0: Dials()}, saved)


def _changed(dials: Dials) -> dict[str, float]:
    return {name: value for name, value in dials.numbers().items() if value}


def _table(value: Any) -> dict[str, Any]:
    value = {} if value is None else value
    if not is_table(value):
        raise InputError(f"Poses keep dials by frame or by name, and here is {shown(value)}.")
    return value


def _frame(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text[:9]) > LAST or len(text) > 9:
        raise InputError(f"Poses number frames from 0 to {LAST}, and here is {shown(text)}.")
    return int(text)


def _dials(value: Any) -> Dials:
    numbers = _table(value)
    for name, number in numbers.items():
        real = isinstance(number, int | float) and not isinstance(number, bool)
        if not real or not abs(number) < LARGEST:  # nor is it what no float holds
            raise InputError(f"The dial {shown(name)} is a number, and here is {shown(number)}.")
    return Dials.of(numbers)
