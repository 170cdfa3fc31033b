"""What reading a clip met and went on from, gathered while it is read and told once, at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path

from ..doors.words import logger

log = logger()


@dataclass(eq=False)
class Remarks:
    """Frames by number, counted from 0 at the clip's own rate, and sentences."""

    path: Path
    held: set[int] = field(default_factory=set[int])  # could not be read
    repaired: set[int] = field(default_factory=set[int])  # by the decoder, as well as it can
    fitted: set[int] = field(default_factory=set[int])  # of another size than the first
    sentences: list[str] = field(default_factory=list[str])
    told: set[str] = field(default_factory=set[str])

    def say(self, sentence: str) -> None:
        """Now, and once."""
        if sentence not in self.told:
            self.told.add(sentence)
            log.warning("%s", sentence)

    def later(self, sentence: str) -> None:
        """At the end of the clip."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    @property
    def leading(self) -> set[int]:
        """Those of the held ones that nothing comes before."""
        return set(takewhile(self.held.__contains__, count()))

    def tell(self) -> None:
        """All of it; what was told before is not told again."""
        name = self.path.name or str(self.path)
        leading = self.leading
        for numbers, words in (
            (leading, "could not be read, and the first that could is shown in {its} place"),
            (self.held - leading, "could not be read, and the picture before was held"),
            (
                self.repaired - self.held,
                "{were} damaged in the file and {are} shown as the decoder patched {them}",
            ),
            (
                self.fitted,
                "{were} of another size than the first and {were} fitted into it",
            ),
        ):
            if numbers:
                one = len(numbers) == 1
                said = words.format(
                    were="was" if one else "were",
                    are="is" if one else "are",
                    them="it" if one else "them",
                    its="its" if one else "their",
                )
                self.say(f"{name}: {listed(numbers)} {said}.")
        for sentence in self.sentences:
            self.say(sentence)


def listed(numbers: set[int], most: int = 6) -> str:
    """`frames 3, 48-49 and 60`; of many stretches the first few and how many frames in all."""
    stretches: list[list[int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in stretches]
    if len(words) > most:
        return f"{len(numbers)} frames ({', '.join(words[:most])} and others)"
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"frame{'s' * (len(numbers) > 1)} {text}"
