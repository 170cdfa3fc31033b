"""What was found in a clip once is not looked for again, so that turning a dial runs only what
hangs on it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

MOST = 256 * 2**20  # bytes kept for one model


class Memory:
    """Values by key, the one that was not asked for longest leaving first. Kept in main memory."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.held = most, 0
        self._kept: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def __contains__(self, key: Any) -> bool:
        return key in self._kept

    def recall(self, key: Any, make: Callable[[], Any], device: torch.device | None = None) -> Any:
        """What `make` gave for this key before, or gives now, on that device; None: where it was
        made, in main memory.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            kept = self._kept[key][0]
            return kept if device is None else _on(kept, device)
        made = make()
        kept = _on(made, torch.device("cpu"))
        size = bytes_of(kept)
        if kept is not None and size <= self.most:
            self._kept[key] = kept, size
            self.held += size
        while self.held > self.most:
            _, (_, left) = self._kept.popitem(last=False)
            self.held -= left
        return made


class Remembering:
    """A model, or what finds faces, as the library takes one. Pictures it has seen it does not
    detect, encode or search for faces again; a user who cancels is heard between its layers.
    """

    def __init__(
        self, model: Any, memory: Memory, heard: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._model, self._memory, self._heard = model, memory, heard
        self._others: dict[int, Remembering] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Any:
        key = self._model.family, "detect", digest(frames), digest(reference)
        return self._recall(key, lambda: self._model.detect(frames, reference=reference))

    def expect(self, source: Tensor, placement: Any = None) -> None:
        if self._encoded(source, placement) not in self._memory:
            self._model.expect(source, placement)

    def _encoded(self, source: Tensor, placement: Any) -> Any:
        return self._model.family, "encode", digest(source), repr(placement)

    def encode(self, source: Tensor, placement: Any = None) -> Any:
        key = self._encoded(source, placement)
        placed = {} if placement is None else {"placement": placement}  # some families take none
        return self._recall(key, lambda: self._model.encode(source, **placed))

    @property
    def finder(self) -> Callable[[], Any] | None:
        """Who finds faces for this model, see `MotionModel.finder`."""
        make = self._model.finder
        return None if make is None else lambda: self._known(make())

    def faces(self, picture: Tensor) -> Any:
        key = self._model.family, "faces", digest(picture)
        return self._recall_seen(key, lambda: self._model.faces(picture))

    def follow(self, clip: Iterable[Tensor], near: Tensor | None = None, **told: Any) -> Any:
        seen = tuple(digest(batch) for batch in clip)
        key = self._model.family, "follow", seen, digest(near)
        return self._recall_seen(key, lambda: self._model.follow(clip, near, **told))

    def rehearse(
        self, source: Tensor, clip: Iterable[Tensor], reference: int | None, placement: Any
    ) -> tuple[Any, Any]:
        """The look ahead at a whole clip, once a clip."""
        seen = tuple(digest(batch) for batch in clip)
        key = "rehearse", seen, digest(source), reference, repr(placement)

        def look() -> tuple[Any, Any]:
            return self._model.rehearse(source, clip, reference, placement)

        model, script = self._recall(key, look)
        return self._known(model), script

    def _known(self, model: Any) -> Any:
        """This one, or another that takes over, remembering too."""
        if model is self._model:
            return self
        if id(model) not in self._others:
            self._others[id(model)] = Remembering(model, self._memory, self._heard)
        return self._others[id(model)]

    def motion(self, *given: Any, **named: Any) -> Any:
        with self._heard():
            return self._model.motion(*given, **named)

    def generate(self, *given: Any, **named: Any) -> Any:
        with self._heard():
            return self._model.generate(*given, **named)

    def _recall_seen(self, key: Any, make: Callable[[], Any]) -> Any:
        """The same for what is on the CPU wherever the model is: faces."""
        with self._heard():
            return self._memory.recall(key, make)

    def _recall(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._heard():
            return self._memory.recall(key, make, self._model.device)


def digest(pictures: Tensor | None) -> tuple[Any, ...] | None:
    """What tells these pictures from all others."""
    if pictures is None:
        return None
    whole = pictures.detach().cpu().contiguous()
    content = whole.reshape(-1).view(torch.uint8).numpy()
    return (
        tuple(whole.shape),
        str(whole.dtype),
        hashlib.sha256(content.data).digest(),
    )


def bytes_of(value: Any) -> int:
    """Of all tensors in a value made of dataclasses and tuples."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if dataclasses.is_dataclass(value):
        return sum(bytes_of(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, dict):
        return sum(map(bytes_of, value.values()))
    return sum(map(bytes_of, value)) if isinstance(value, (tuple, list)) else 0


def _on(value: Any, device: torch.device) -> Any:
    """The same object where it lies there already, with all it has worked out."""
    first = next(iter(_tensors(value)), None)
    if first is None or first.device == device:
        return value
    return value.to(device) if hasattr(value, "to") else None


def _tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
