"""The driving clip, as a stream of batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import torch
from torch import Tensor

from .errors import InputError
from .media.picture import to_rgb

Frames = Tensor | Iterable[Tensor]


class Batches:
    """Driving frames in batches of one size, read again as often as needed, as `prepare` leaves
    them.
    """

    def __init__(
        self,
        driving: Frames,
        batch_size: int,
        prepare: Callable[[Tensor], Tensor] = to_rgb,
        again: bool = False,
    ) -> None:
        self.driving = list(driving) if again and isinstance(driving, Iterator) else driving
        self.batch_size = batch_size
        self.prepare = prepare
        self.total = (
            len(driving) if isinstance(driving, Tensor) else getattr(driving, "len_hint", None)
        )

    def __iter__(self) -> Iterator[Tensor]:
        held: list[Tensor] = []
        for frame in self._frames():
            held.append(frame)
            if len(held) >= self.batch_size:
                yield self.prepare(torch.cat(held))
                held = []
        if held:
            yield self.prepare(torch.cat(held))

    def _frames(self) -> Iterator[Tensor]:
        for batch in [self.driving] if isinstance(self.driving, Tensor) else self.driving:
            yield from batch.split(1) if len(batch) else ()

    def frame(self, number: int) -> Tensor:
        """One frame. Of an iterator only the first, which is then still to come.

        Raises InputError beyond the end.
        """
        frames = self._frames()
        found = next(islice(frames, number, None), None)
        if found is None:
            raise no_such_frame(number)
        if isinstance(self.driving, Iterator):
            self.driving = chain([found], frames)
        return self.prepare(found)

    def batch_with(self, number: int) -> tuple[Tensor, int]:
        """The batch that the frame comes in, and its place there.

        Raises InputError beyond the end.
        """
        batch, place = divmod(number, self.batch_size)
        found = next(islice(self, batch, None), None)
        if found is None or place >= len(found):
            raise no_such_frame(number)
        return found, place


def no_such_frame(number: int) -> InputError:
    if not number:
        return InputError("The driving clip has no frames; give at least one.")
    return InputError(
        f"The reference frame {number} lies beyond the end of the driving clip; frames count from"
        " 0."
    )
