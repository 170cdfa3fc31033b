"""What a film says of itself, and what of it became no picture."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import MediaError
from .remarks import Remarks


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


class Losses:
    """Which packets became no picture."""

    def __init__(self, remarks: Remarks, facts: Facts) -> None:
        self.remarks, self.facts = remarks, facts
        self.waiting: set[float] = set()  # moments of packets that no frame has passed yet
        self.timeless = 0  # packets without a moment, less the frames that were shown
        self.reason = ""
        self.last, self.end = -float("inf"), 0.0  # when the last frame shows, and until when

    def sent(self, packet: Any, base: Fraction) -> None:
        if not packet.size or packet.is_discard:
            return
        if packet.pts is None:
            self.timeless += packet.dts is None
            return
        moment = float(packet.pts * base - self.facts.begin)
        self.waiting.add(moment)
        if packet.is_corrupt:
            self.remarks.repaired.add(round(moment * self.facts.rate))

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
