"""Still pictures, from and to files: each becomes 1 3 H W, float32 in 0..1, in sRGB.

What a file is, its content says, not its name. Colours of another profile (Display P3, Adobe RGB,
CMYK ...) are converted by it. Values are gamma-encoded, as networks and screens expect. Alpha is
straight, not premultiplied.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..doors.words import logger
from ..errors import InputError
from ..shapes import check_numbers, in_range
from .deep import GRAY, Deep, coded_pixels, gray_of, is_deep
from .files import existing_file, write_whole
from .naming import WRITTEN
from .opening import check_size, decoding, opened
from .profiles import in_srgb, told_otherwise
from .tiff import deep_layout, deep_pixels

if TYPE_CHECKING:
    import numpy as np

log = logger()
WHITE = (1.0, 1.0, 1.0)

ROWS = 512  # worked on at a time
MOST = 1e6  # times white
# EXIF orientation → how the stored pixels become upright: transposed, then mirrored left-right,
# then top-bottom
UPRIGHT = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def read_picture(path: str | os.PathLike[str], background: Sequence[float] = WHITE) -> Tensor:
    """The picture, upright, on `background` (red, green, blue in 0..1) where it is transparent. 1 3
    H W, float32 in 0..1

    Of an animated file, the first frame. MediaError if the file is missing, no picture, or damaged.
    """
    return to_rgb(read_pixels(path), background)


def read_cutout(path: str | os.PathLike[str]) -> Tensor:
    """The picture with its own straight alpha, where it has one. 1 C H W, C = 3 or 4, float32 in
    0..1
    """
    pixels = read_pixels(path)
    if pixels.shape[1] not in (2, 4):
        return to_rgb(pixels)
    straight = _unit(pixels)
    return torch.cat([straight[:, :-1].expand(-1, 3, -1, -1), straight[:, -1:]], dim=1)


def read_alpha(path: str | os.PathLike[str]) -> Tensor | None:
    """The picture's own transparency, upright: 1 1 H W in 0..1, 1 = opaque; None if it has none."""
    pixels = read_pixels(path)
    return _unit(pixels[:, -1:]) if pixels.shape[1] in (2, 4) else None


def to_rgb(picture: Tensor, background: Sequence[float] = WHITE) -> Tensor:
    """Any picture tensor as B 3 H W float in 0..1.

    B C H W with C = 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha); floats in 0..1, uint8 or
    uint16. Gray is repeated, alpha composited over `background`.
    """
    check_picture(picture)
    if len(background) != 3:
        raise InputError(
            f"a background is three numbers in 0..1 (red, green, blue), not {tuple(background)}."
        )
    if picture.shape[1] in (1, 3):
        return _unit(picture).expand(-1, 3, -1, -1).contiguous()
    composited = [_composited(rows, background) for rows in torch.split(picture, ROWS, dim=2)]
    return torch.cat(composited, dim=2) if len(composited) > 1 else composited[0]


def check_picture(picture: Tensor) -> None:
    """Refuse what is no batch of pictures, as `to_rgb` takes them. Raises InputError."""
    if picture.ndim != 4 or picture.shape[1] not in (1, 2, 3, 4) or not picture.numel():
        raise InputError(
            f"a picture is B C H W with 1 to 4 channels; this tensor is {tuple(picture.shape)}."
        )
    if not (picture.is_floating_point() or picture.dtype in (torch.uint8, torch.uint16)):
        raise InputError(
            "a picture holds floats in 0..1, uint8 or uint16; this tensor is"
            f" {str(picture.dtype).removeprefix('torch.')}."
        )
    if picture.is_floating_point():
        check_numbers(picture, "The picture")


def _composited(picture: Tensor, background: Sequence[float]) -> Tensor:
    """Colour over the background by its alpha. B C H W, C = 2 or 4 -> B 3 H W"""
    picture = _unit(picture)
    color, alpha = picture[:, :-1], picture[:, -1:]
    behind = torch.tensor(tuple(background), dtype=picture.dtype, device=picture.device).view(
        1, 3, 1, 1
    )
    return (color * alpha + behind * (1 - alpha)).expand(-1, 3, -1, -1)


def write_picture(picture: Tensor, path: str | os.PathLike[str], bits: int = 8) -> None:
    """Write 1 C H W or C H W, values in 0..1, C = 1 (gray), 3 (RGB) or 4 (RGB, alpha). `bits=16`
    for PNG and TIFF.

    The kind of file is the extension's. The target appears when it is whole, or not at all.
    """
    path = Path(path)
    picture = picture[None] if picture.ndim == 3 else picture
    if picture.ndim != 4 or picture.shape[0] != 1 or picture.shape[1] not in (1, 3, 4):
        raise InputError(
            "a picture to write is 1 C H W with 1, 3 or 4 channels; this tensor is"
            f" {tuple(picture.shape)}."
        )
    check_extension(path)
    if bits not in (8, 16) or bits == 16 and path.suffix.lower() not in (".png", ".tif", ".tiff"):
        raise InputError(f"{bits} bits in {path.name}: pictures have 8 bits, PNG and TIFF 8 or 16.")
    check_numbers(picture, "the picture to write")
    pixels = to_pixels(picture, bits).cpu().numpy()[0]
    write_whole(path, lambda partial: save_pixels(pixels, partial))


def check_extension(path: str | os.PathLike[str]) -> None:
    """Refuse a target that is called like no picture. Raises InputError."""
    path = Path(path)
    if path.suffix.lower() not in WRITTEN:
        raise InputError(
            f"{path.name or path} has no picture's extension; those known are {' '.join(WRITTEN)}."
        )


def to_pixels(pictures: Tensor, bits: int = 8) -> Tensor:
    """B C H W in 0..1 → B H W C, uint8 or uint16, rounded. What lies outside 0..1 is cut off."""
    top, dtype = (255, torch.uint8) if bits == 8 else (65535, torch.uint16)
    pixels = pictures.detach().permute(0, 2, 3, 1)
    made = torch.empty(pixels.shape, dtype=dtype, device=pixels.device)
    for picture, into in zip(pixels, made, strict=True):
        # some at a time: they stay in the cache
        for first in range(0, len(picture), ROWS):
            some, there = (part[first : first + ROWS] for part in (picture, into))
            if bits == 8 and _quick(some):
                _eight_bits(some, there)
            else:
                there.copy_(some.float().clamp(0, 1).mul_(top).round_())
    return made


def _quick(picture: Tensor) -> bool:
    """Whether OpenCV can round it, in a fifth of the time: it lies in main memory as it will."""
    return picture.is_cpu and picture.dtype == torch.float32 and picture.is_contiguous()


def _eight_bits(picture: Tensor, into: Tensor) -> None:
    """H W C in 0..1, cut off beyond, to 0..255."""
    import cv2
    import numpy as np

    values = picture.flatten(1).numpy()
    if values.max() > MOST:  # OpenCV goes by way of whole numbers, and those end
        values = np.minimum(values, np.float32(1))
    cv2.addWeighted(values, 255, values, 0, 0, dst=into.flatten(1).numpy(), dtype=cv2.CV_8U)


def save_pixels(pixels: np.ndarray, path: Path) -> None:
    """H W C of uint8 or uint16 into a file, not atomically. Raises what the system raises."""
    if pixels.dtype == "uint16":
        _save_deep(pixels, path)
        return
    from PIL import Image

    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    lossy: dict[str, Any] = {"quality": 95, "subsampling": 0} if jpeg else {}
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, **lossy)


def _save_deep(pixels: np.ndarray, path: Path) -> None:
    import cv2

    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[pixels.shape[-1]]
    pixels = pixels if order is None else cv2.cvtColor(pixels, order)
    _, data = cv2.imencode(path.suffix, pixels)
    path.write_bytes(data.tobytes())  # not cv2.imwrite, which knows only ASCII paths on Windows


def pixels_of(image: Any) -> Tensor:
    """A Pillow image, upright, in sRGB. 1 C H W, C = 1, 3 or 4; uint8, or what Deep
    makes of more
    """
    import numpy as np
    from PIL import ImageOps

    path = getattr(image, "filename", "") or getattr(getattr(image, "fp", None), "name", "")
    if path:
        check_size(path, *image.size)  # a frame may be larger than the first
    with decoding(path or "This"):
        image.load()
        profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image)
        return torch.as_tensor(np.array(in_srgb(upright, profile))).permute(2, 0, 1)[None]


def read_pixels(path: str | os.PathLike[str], deep: Deep | None = None) -> Tensor:
    """The picture, upright, in sRGB. 1 C H W, C = 1 to 4; uint8, uint16 or float32 in 0..1

    `deep` is shared by the pictures of a sequence, so that all are read alike.
    """
    path, deep = existing_file(path, "a picture"), deep or Deep(log.warning)
    if layout := deep_layout(path):
        stored, profile = deep_pixels(path, layout), layout.profile
        orientation = layout.orientation if layout.ours else 1  # OpenCV turns it by itself
    else:
        with opened(path) as image:
            if not is_deep(image):
                return pixels_of(image)
            with decoding(path):
                image.load()  # Pillow turns some kinds by itself, and forgets their orientation
                exif = image.getexif()
                profile = image.info.get("icc_profile") or told_otherwise(image.info, exif)
                orientation = exif.get(0x0112, 1)
                stored = gray_of(image) if image.mode in GRAY else coded_pixels(path)
    upright = turned(stored, *UPRIGHT.get(orientation, (False, False, False)))
    return deep(upright, path, profile)


def turned(pixels: np.ndarray, transposed: bool, mirrored: bool, flipped: bool) -> np.ndarray:
    """H W C or H W, transposed, then mirrored left-right, then flipped top-bottom. A view."""
    pixels = cast("Any", pixels).swapaxes(0, 1) if transposed else pixels
    return pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]


def _unit(picture: Tensor) -> Tensor:
    """Integers to 0..1 float32; floats cut off at 0 and 1, the picture itself where none is."""
    if picture.is_floating_point():
        return in_range(picture)
    made = torch.empty(picture.shape, device=picture.device)  # once: large pictures are dear
    return made.copy_(picture).div_(255 if picture.dtype == torch.uint8 else 65535)
