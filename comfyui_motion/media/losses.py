"""What a film says of itself, and what of it became no picture."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import MediaError
from .remarks import Remarks

SPARE = 512  # bytes that may lie between two packets whatever they are
LUMP = 0.5  # seconds of sound that programs write at once
MOST = 1_000_000  # frames of one hole


@dataclass(frozen=True)
class Facts:
    """What a film says before anything is decoded."""

    rate: Fraction  # its own: declared, or the median's
    begin: Fraction  # the first frame's moment by the file's clock, in seconds
    count: int | None  # frames at that rate
    has_audio: bool
    length: float | None = None  # seconds
    cut: bool = False  # more was in it once, and that was said
    firm: bool = False  # the length is the picture's, as its writer knew it
    blocks: bool = False  # packets lie in the file one after the other, without an index


class Holes:
    """Stretches of a film whose packets are no longer in the file: its moments jump there, and so
    do the places of its packets, by more bytes than lie between them elsewhere (the sound's). Of a
    picture that only stood still the places do not jump.
    """

    def __init__(self) -> None:
        self.end: int | None = None  # of the packet before, in the file
        self.moment = 0.0
        self.between, self.seconds = 0, 0.0  # bytes, over so much time

    def before(self, place: int | None, size: int, moment: float, step: float) -> bool:
        """Whether packets are missing before this one, which are taken in the file's order."""
        if place is None or place < 0:
            return False
        end, since = self.end, moment - self.moment
        self.end, self.moment = place + size, max(moment, self.moment)
        if end is None or since <= 0 or place < end:
            return False
        gap = place - end
        usual = self.between / self.seconds if self.seconds else 0.0
        if since > 2.5 * step and gap > SPARE + 2 * usual * (since + LUMP):
            return True
        self.between, self.seconds = self.between + gap, self.seconds + since
        return False


class Losses:
    """Which packets became no picture."""

    def __init__(self, remarks: Remarks, facts: Facts) -> None:
        self.remarks, self.facts = remarks, facts
        self.waiting: set[float] = set()  # moments of packets that no frame has passed yet
        self.timeless = 0  # packets without a moment, less the frames that were shown
        self.reason = ""
        self.holes = Holes()
        self.missing: set[int] = set()  # frames in holes that nothing has been shown beyond
        self.last, self.end = -float("inf"), 0.0  # when the last frame shows, and until when

    def sent(self, packet: Any, base: Fraction) -> None:
        if not packet.size or packet.is_discard:
            return
        if packet.pts is None:
            self.timeless += packet.dts is None
            return
        moment = float(packet.pts * base - self.facts.begin)
        self.waiting.add(moment)
        self._look_for_holes(packet, moment)
        if packet.is_corrupt:
            self.remarks.repaired.add(round(moment * self.facts.rate))

    def _look_for_holes(self, packet: Any, moment: float) -> None:
        step, since = float(1 / self.facts.rate), self.holes.moment
        if self.facts.blocks and self.holes.before(packet.pos, packet.size, moment, step):
            first, stop = round(since / step) + 1, round(moment / step)
            self.missing |= set(range(first, min(stop, first + MOST)))

    def decoded(self, frame: Any) -> None:
        self.timeless -= 2 if frame.interlaced_frame else 1  # two fields may be two packets

    def shown(self, moment: float, frame: Any) -> None:
        step = float(1 / self.facts.rate)
        passed = {other for other in self.waiting if other <= moment + 1e-6}
        self.waiting -= passed
        if moment - self.last > 1.5 * step:  # else they were halves of what is shown
            self.remarks.held |= {
                round(other / step) for other in passed if other < moment - 0.5 * step
            }
        if frame.is_corrupt:
            self.remarks.repaired.add(round(moment / step))
        if self.missing:
            self.missing.discard(round(moment / step))
            passed_over = {number for number in self.missing if number * step < moment}
            self.remarks.held |= passed_over
            self.missing -= passed_over
        self.last = moment

    def ended(self, path: Path, moment: float) -> None:
        if self.last == -float("inf"):
            reason = f" ({self.reason})" if self.reason else ""
            raise MediaError(
                f"{path} is damaged or unfinished: none of its pictures can be read{reason}; if it"
                " is a download, get it again."
            )
        step = float(1 / self.facts.rate)
        lost = sum(other > moment + 0.5 * step for other in self.waiting)
        if not lost and self.facts.firm and self.facts.length:
            short = self.facts.length - self.end
            lost = round(short / step) if short > 0.05 else 0
        if lost > 0 and not self.facts.cut:
            self.remarks.later(
                f"{path.name}: nothing after frame {round(moment / step)} can be read, of {lost}"
                " more; the clip ends with it."
            )
        if self.timeless > 0:
            self.remarks.later(
                f"{path.name}: {self.timeless} of its pictures could not be read and are left out;"
                " it does not say when they were to show."
            )
