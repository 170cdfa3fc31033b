"""Colour profiles (ICC.1) into sRGB: pictures of 8 bits by Little CMS, deeper ones, which Pillow's
Little CMS does not take, by the profile's own curves and matrix.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..doors.words import logger
from .tone import D65, SRGB, Tone, encoded, to_xyz

log = logger()
Array = np.ndarray[Any, Any]
Curve = Callable[[Array], Array]  # coded 0..1 → linear light
Shaping = Callable[[Tensor], Tensor]  # 1 C H W in 0..1, its own colours → sRGB

D50 = np.array([0.9642, 1.0, 0.8249])  # the white of every profile
# Bradford's cone responses, by which profiles are adapted to it (ICC.1, annex E)
CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
USUAL = 0.45455  # a PNG's gamma where it means sRGB
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def in_srgb(image: Any, profile: bytes | None) -> Any:
    """A Pillow image of 8 bits a channel as RGB or RGBA, in sRGB."""
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    shaper = None if profile else told_otherwise(image.info, image.getexif())
    colours = _by_profile(image, profile) if profile else image.convert("RGB")
    if shaper:
        colours = _shaped(colours, shaper)
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _by_profile(image: Any, profile: bytes) -> Any:
    from PIL import ImageCms

    mode = image.mode if image.mode in ("L", "RGB", "CMYK") else None
    mode = mode or ("L" if image.mode in ("1", "LA", "La") else "RGB")
    for inside in dict.fromkeys((mode, "RGB")):  # a gray picture may carry a profile of colours
        try:
            transform = _transform(profile, inside)
            return ImageCms.applyTransform(image.convert(inside), transform)
        except (ImageCms.PyCMSError, ValueError, OSError):
            continue
    log.warning("A colour profile that cannot be used was left out: its colours may be off.")
    return image.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any:
    from PIL import ImageCms

    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    wanted: Any = cast("Any", ImageCms).createProfile("sRGB")
    return ImageCms.buildTransform(own, wanted, mode, "RGB")


def _shaped(image: Any, shaper: Shaping) -> Any:
    from PIL import Image

    pixels = torch.as_tensor(np.array(image)).permute(2, 0, 1)[None].float() / 255
    made = shaper(pixels)[0].mul(255).round().byte().permute(1, 2, 0).contiguous()
    return Image.fromarray(made.numpy())


def told_otherwise(info: dict[str, Any], exif: Any) -> Shaping | None:
    """The colours of a picture without a profile, by what else its file says of them."""
    tone: Tone | None = info.get("tone")
    return tone.picture if tone else adobe_rgb(exif) or png_colours(info)


def adobe_rgb(exif: Any) -> Shaper | None:
    """What a camera says in EXIF of a picture without a profile (DCF 2.0): Adobe RGB,
    or nothing.
    """
    if not hasattr(exif, "get_ifd"):
        return None
    space = exif.get_ifd(0x8769).get(0xA001)
    try:
        index = str(exif.get_ifd(0xA005).get(1, "")).strip("\0 ")
    except KeyError:  # what Pillow 12.1 says of a picture without that table
        index = ""
    if space == 2 or space == 0xFFFF and index == "R03":
        return Shaper(_adapted(to_xyz(ADOBE_RGB)), (_power(563 / 256),) * 3)
    return None


def png_colours(info: dict[str, Any]) -> Shaper | None:
    """What a PNG without a profile says of its curve and primaries (gAMA, cHRM); None where it is
    sRGB, or says nothing.
    """
    gamma, ends = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info or not (gamma or ends):
        return None
    white, primaries = D65, SRGB
    if ends and len(ends) == 8 and min(ends) >= 0 and min(ends[1::2]) > 0:
        white, *primaries = zip(ends[::2], ends[1::2], strict=True)
    plain = np.abs(np.array([white, *primaries]) - np.array([D65, *SRGB])).max() < 0.003
    if plain and abs((gamma or USUAL) - USUAL) < 0.01:
        return None
    curve = _power(1 / gamma) if gamma and abs(gamma - USUAL) >= 0.01 else _srgb_curve
    return Shaper(_adapted(to_xyz(tuple(primaries), white)), (curve,) * 3)


def _srgb_curve(coded: np.ndarray) -> np.ndarray:
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True, eq=False)
class Shaper:
    """A profile of curves and a matrix."""

    matrix: np.ndarray | None  # linear light to XYZ under D50. 3 3; None: gray
    curves: tuple[Curve, ...]  # one a channel

    @staticmethod
    def of(profile: bytes | None) -> Shaper | None:
        """None where there is none, or one of tables alone, which is told of."""
        if not profile:
            return None
        try:
            return _parsed(profile)
        except (KeyError, ValueError, IndexError, struct.error):
            log.warning(
                "A colour profile that has no curves cannot be used with pictures of 16 bits: their"
                " colours are taken as sRGB's."
            )
            return None

    def __call__(self, picture: Tensor) -> Tensor:
        """1 C H W in 0..1 → sRGB, likewise; a last channel beyond the curves is alpha,
        and stays.
        """
        count = len(self.curves) if picture.shape[1] >= 3 else 1
        colours = picture[:, :count].numpy()
        curves = self.curves if count == len(self.curves) else self.curves[:1]
        light = torch.as_tensor(
            np.stack([curve(colours[:, i]) for i, curve in enumerate(curves)], 1)
        ).float()
        if self.matrix is not None and count == 3:
            matrix: Array = np.linalg.inv(_adapted(to_xyz(SRGB))) @ self.matrix
            light = torch.einsum("ij,bjhw->bihw", torch.as_tensor(matrix).float(), light)
        return torch.cat((encoded(light.clamp(0, 1)), picture[:, count:]), 1)


def _parsed(profile: bytes) -> Shaper:
    tags: dict[bytes, bytes] = {}
    (count,) = struct.unpack(">I", profile[128:132])
    for place in range(132, 132 + 12 * min(count, 200), 12):
        name, start, size = struct.unpack(">4sII", profile[place : place + 12])
        tags[name] = profile[start : start + size]
    if profile[16:20] == b"GRAY":
        return Shaper(None, (_curve(tags[b"kTRC"]),))
    columns = [
        [value / 65536 for value in struct.unpack(">3i", tags[name][8:20])]
        for name in (b"rXYZ", b"gXYZ", b"bXYZ")
    ]
    curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
    return Shaper(np.transpose(columns), curves)


def _curve(tag: bytes) -> Curve:
    """ICC.1, 10.6 and 10.18"""
    if tag[:4] == b"para":
        kind, _ = struct.unpack(">HH", tag[8:12])
        count = (1, 3, 4, 5, 7)[kind]
        values = [v / 65536 for v in struct.unpack(f">{count}i", tag[12 : 12 + 4 * count])]
        return _parametric(kind, values)
    if tag[:4] != b"curv":
        raise ValueError("a curve of an unknown kind")
    (count,) = struct.unpack(">I", tag[8:12])
    if count == 0:
        return _power(1.0)
    if count == 1:
        return _power(struct.unpack(">H", tag[12:14])[0] / 256)
    table = np.frombuffer(tag[12 : 12 + 2 * count], ">u2").astype(np.float64) / 65535
    return lambda coded: np.interp(coded, np.linspace(0, 1, len(table)), table)


def _power(gamma: float) -> Curve:
    return lambda coded: coded**gamma


def _parametric(kind: int, values: list[float]) -> Curve:
    """y = (a x + b)^g + e from x = d on, c x + f below (ICC.1, table 68)"""
    g, a, b, c, d, e, f = (*values, *[0.0] * (7 - len(values)))
    if kind == 0:
        a, d = 1.0, -1.0
    elif kind < 3:
        c, d, e, f = 0.0, -b / a, c, c
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _adapted(matrix: Array) -> Array:
    """From a gamut's own white, D65, to D50."""
    white = matrix @ np.ones(3)
    return np.linalg.inv(CONES) @ np.diagflat(CONES @ D50 / (CONES @ white)) @ CONES @ matrix
