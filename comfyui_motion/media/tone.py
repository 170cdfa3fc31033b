"""The colours of films and pictures that are not a screen's: HDR (PQ, HLG) brought down to what a
screen shows, wide gamuts (BT.2020, Display P3) into sRGB's.

HDR's reference white (203 cd/m2, ITU-R BT.2408) becomes white less a little; what is brighter is
rolled off, hue kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]

PQ, HLG = 16, 18  # numbers of transfer characteristics (ITU-T H.273), which are FFmpeg's too
POWERS = {4: 2.2, 5: 2.8, 8: 1.0}  # those that are a plain power
WHITE = 203.0  # cd/m2
PEAK = 1000.0 / WHITE  # what HDR is graded to
KNEE = 0.7  # linear light up to which nothing is changed

D65 = (0.3127, 0.3290)
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
GAMUTS = {  # by number, likewise
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}


@dataclass(frozen=True)
class Tone:
    """How coded values become sRGB."""

    transfer: int
    primaries: int

    @staticmethod
    def of(context: Any) -> Tone | None:
        """None for a film that is as screens are."""
        transfer = getattr(context, "color_trc", None) or 0
        primaries = getattr(context, "color_primaries", None) or 0
        if transfer in (PQ, HLG):
            return Tone(transfer, primaries if primaries in GAMUTS else 9)
        return Tone(1, primaries) if primaries in GAMUTS else None

    @staticmethod
    def by(transfer: int, primaries: int) -> Tone | None:
        """Of a picture, which is believed in plain powers as well. None for sRGB."""
        if transfer in (PQ, HLG):
            return Tone(transfer, primaries if primaries in GAMUTS else 9)
        if transfer in POWERS or primaries in GAMUTS:
            return Tone(transfer if transfer in POWERS else 1, primaries)
        return None

    def picture(self, picture: Tensor) -> Tensor:
        """1 C H W in 0..1 → 1 3 H W likewise, and a last channel that is alpha as it is."""
        colours = 3 if picture.shape[1] >= 3 else 1
        coded = picture[0, :colours].expand(3, -1, -1).mul(65535).round().to(torch.int32)
        return torch.cat((self(coded)[None], picture[:, colours:]), 1)

    @property
    def bright(self) -> bool:
        return self.transfer in (PQ, HLG)

    def __call__(self, picture: Tensor) -> Tensor:
        """3 H W of uint16 → 3 H W of float32 in 0..1, gamma-encoded as sRGB."""
        light = _table(self.transfer)[picture.int()]
        if self.transfer == HLG:  # the screen's own gamma (BT.2100), on luminance
            luminance = (light * light.new_tensor((0.2627, 0.678, 0.0593)).view(3, 1, 1)).sum(0)
            light = light * luminance.clamp(min=1e-6).pow(0.2) * PEAK
        if self.primaries in GAMUTS:
            light = torch.einsum("ij,jhw->ihw", _into_srgb(self.primaries), light)
        if self.bright:
            strongest = light.amax(0).clamp(min=1e-6)
            light = light * (rolled_off(strongest) / strongest)
        return encoded(light.clamp(0, 1))


def rolled_off(light: Tensor) -> Tensor:
    """Linear light 0..PEAK → 0..1: as it is up to the knee, then bent (Reinhard et al. 2002, eq. 4)
    so that the peak is white.
    """
    over = (light - KNEE).clamp(min=0) / (1 - KNEE)
    most = (PEAK - KNEE) / (1 - KNEE)
    bent = over * (1 + over / most**2) / (1 + over)
    return torch.where(light <= KNEE, light, KNEE + (1 - KNEE) * bent)


def encoded(light: Tensor) -> Tensor:
    """Linear light in 0..1 as sRGB keeps it (IEC 61966-2-1)."""
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.pow(1 / 2.4) - 0.055)


@lru_cache
def _table(transfer: int) -> Tensor:
    """Linear light of every coded value. 65536"""
    coded = torch.arange(65536, dtype=torch.float64) / 65535
    if transfer == PQ:  # SMPTE ST 2084, in units of WHITE
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = coded.pow(1 / m2)
        light = ((root - c1).clamp(min=0) / (c2 - c3 * root)).pow(1 / m1) * (10_000 / WHITE)
    elif transfer == HLG:  # ARIB STD-B67, the scene's light in 0..1
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = torch.where(coded <= 0.5, coded**2 / 3, (((coded - c) / a).exp() + b) / 12)
    elif transfer in POWERS:
        light = coded ** POWERS[transfer]
    else:  # as sRGB, which is what is written again
        light = torch.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055).pow(2.4))
    return light.float()


@lru_cache
def _into_srgb(primaries: int) -> Tensor:
    """Linear light of a gamut to sRGB's. 3 3"""
    matrix: Array = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(GAMUTS[primaries])
    return torch.as_tensor(matrix).float()


def to_xyz(primaries: tuple[tuple[float, float], ...], white: tuple[float, float] = D65) -> Array:
    """The matrix of a gamut's primaries, white at luminance 1 (SMPTE RP 177). 3 3"""
    columns: Array = np.transpose([[x / y, 1, (1 - x - y) / y] for x, y in primaries])
    x, y = white
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))
