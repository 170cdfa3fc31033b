"""Still pictures, from and to files: every kind Pillow opens becomes 1 3 H W, float32 in 0..1.

Values are the file's own (gamma-encoded, as networks and screens expect). Alpha is straight, not
premultiplied.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError, MediaError, MotionError
from .files import existing_file, written_whole

if TYPE_CHECKING:
    import numpy as np

WHITE = (1.0, 1.0, 1.0)
WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

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


def read_picture(path: str | os.PathLike, background: Sequence[float] = WHITE) -> Tensor:
    """The picture, upright, on `background` (red, green, blue in 0..1) where it is transparent. 1 3
    H W, float32 in 0..1

    Of an animated file, the first frame. MediaError if the file is missing, no picture, or damaged.
    """
    return to_rgb(read_pixels(path), background)


def read_alpha(path: str | os.PathLike) -> Tensor | None:
    """The picture's own transparency, upright: 1 1 H W in 0..1, 1 = opaque; None if it has none."""
    pixels = read_pixels(path)
    return _unit(pixels[:, -1:]) if pixels.shape[1] in (2, 4) else None


def to_rgb(picture: Tensor, background: Sequence[float] = WHITE) -> Tensor:
    """Any picture tensor as B 3 H W float in 0..1.

    B C H W with C = 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha); floats in 0..1, uint8 or
    uint16. Gray is repeated, alpha composited over `background`.
    """
    if picture.ndim != 4 or picture.shape[1] not in (1, 2, 3, 4) or not picture.numel():
        raise InputError(
            f"a picture is B C H W with 1 to 4 channels; this tensor is {tuple(picture.shape)}."
        )
    if not (picture.is_floating_point() or picture.dtype in (torch.uint8, torch.uint16)):
        raise InputError(
            "a picture holds floats in 0..1, uint8 or uint16; this tensor is"
            f" {str(picture.dtype).removeprefix('torch.')}."
        )
    if len(background) != 3:
        raise InputError(
            f"a background is three numbers in 0..1 (red, green, blue), not {tuple(background)}."
        )
    picture = _unit(picture)
    if picture.shape[1] in (2, 4):
        color, alpha = picture[:, :-1], picture[:, -1:]
        behind = torch.tensor(tuple(background), dtype=picture.dtype, device=picture.device).view(
            1, 3, 1, 1
        )
        picture = color * alpha + behind * (1 - alpha)
    return picture.expand(-1, 3, -1, -1).contiguous()


def write_picture(picture: Tensor, path: str | os.PathLike, bits: int = 8) -> None:
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
    if path.suffix.lower() not in WRITABLE:
        raise InputError(
            f"{path.name} has no picture's extension; those known are {' '.join(WRITABLE)}."
        )
    if bits not in (8, 16) or bits == 16 and path.suffix.lower() not in (".png", ".tif", ".tiff"):
        raise InputError(f"{bits} bits in {path.name}: pictures have 8 bits, PNG and TIFF 8 or 16.")
    pixels = to_pixels(picture, bits).cpu().numpy()[0]
    with written_whole(path) as partial:
        save_pixels(pixels, partial)


def to_pixels(pictures: Tensor, bits: int = 8) -> Tensor:
    """B C H W in 0..1 → B H W C, uint8 or uint16, rounded. What lies outside 0..1 is cut off."""
    top, dtype = (255, torch.uint8) if bits == 8 else (65535, torch.uint16)
    scaled = (
        pictures.detach().float().clamp(0, 1).mul(top).round_()
    )  # a new tensor: the caller's is not touched
    return scaled.to(dtype).permute(0, 2, 3, 1).contiguous()


def save_pixels(pixels: np.ndarray, path: Path) -> None:
    """H W C of uint8 or uint16 into a file, not atomically."""
    try:
        if pixels.dtype == "uint16":
            _save_deep(pixels, path)
        else:
            from PIL import Image

            lossy: dict[str, Any] = (
                {"quality": 95, "subsampling": 0}
                if path.suffix.lower() in (".jpg", ".jpeg")
                else {}
            )
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, **lossy)
    except (OSError, ValueError) as error:
        raise MediaError(f"{path} cannot be written: {error}.") from error


def _save_deep(pixels: np.ndarray, path: Path) -> None:
    import cv2

    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[pixels.shape[-1]]
    whole, data = cv2.imencode(
        path.suffix, pixels if order is None else cv2.cvtColor(pixels, order)
    )
    if not whole:
        raise MediaError(f"{path} cannot be written with 16 bits.")
    path.write_bytes(data.tobytes())  # not cv2.imwrite, which knows only ASCII paths on Windows


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Any]:
    """The file as a Pillow image, the first frame in view; whatever fails in the block is one
    MediaError.
    """
    from PIL import Image, UnidentifiedImageError

    path = existing_file(path, "a picture")
    try:
        with Image.open(path) as image:
            yield image
    except MotionError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(f"{path} is not a picture of any kind that Pillow opens.") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise MediaError(
            f"{path} is a damaged or unfinished picture: {str(error).rstrip('.')}."
        ) from error


def pixels_of(image: Any) -> Tensor:
    """A Pillow image, upright. 1 C H W, C = 1, 3 or 4; uint8, uint16 or float32"""
    import numpy as np
    from PIL import ImageOps

    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        gray = np.array(image, dtype=np.float32)[None, None]
        return torch.from_numpy(gray if image.mode == "F" else gray / 65535)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def turned(pixels: np.ndarray, transposed: bool, mirrored: bool, flipped: bool) -> np.ndarray:
    """H W C, transposed, then mirrored left-right, then flipped top-bottom. A view."""
    pixels = pixels.swapaxes(0, 1) if transposed else pixels
    return pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]


def read_pixels(path: str | os.PathLike) -> Tensor:
    """The stored pixels, upright. 1 C H W"""
    with opened(path) as image:
        if _is_deep(image):
            return _read_deep(Path(path), image.getexif().get(0x0112, 1))
        return pixels_of(image)


def _is_deep(image: Any) -> bool:
    """Whether Pillow would reduce this colour picture from 16 bits to 8."""
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[3]) for tile in image.tile)


def _read_deep(path: Path, orientation: int) -> Tensor:
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise MediaError(f"{path} is a damaged or unfinished picture.")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif pixels.shape[-1] > 2:
        pixels = cv2.cvtColor(
            pixels, cv2.COLOR_BGR2RGB if pixels.shape[-1] == 3 else cv2.COLOR_BGRA2RGBA
        )
    upright = turned(pixels, *UPRIGHT.get(orientation, (False, False, False)))
    return torch.from_numpy(np.ascontiguousarray(upright)).permute(2, 0, 1)[None]


def _unit(picture: Tensor) -> Tensor:
    """Integers to 0..1 float32; floats cut off at 0 and 1."""
    if picture.is_floating_point():
        return picture.clamp(0, 1)
    return picture.float() / (255 if picture.dtype == torch.uint8 else 65535)
