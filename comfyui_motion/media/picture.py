"""Still pictures, from and to files: the kinds in FORMATS become 1 3 H W, float32 in 0..1.

Values are the file's own (gamma-encoded, as networks and screens expect). Alpha is straight, not
premultiplied.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..doors.limits import how_to_raise, limits
from ..errors import InputError, MediaError, boundary
from .files import existing_file, written_whole

if TYPE_CHECKING:
    import numpy as np

WHITE = (1.0, 1.0, 1.0)
# the kinds of file that are opened, whatever a file is called: no other decoder is asked, for some
# start programs (PostScript)
FORMATS = (
    "PNG",
    "JPEG",
    "MPO",
    "WEBP",
    "GIF",
    "AVIF",
    "TIFF",
    "BMP",
    "DIB",
    "JPEG2000",
    "PPM",
    "TGA",
)
PIXELS_A_BYTE = 32  # photographs have one or two, drawings up to some dozens
LARGEST = 170e6  # pixels, about Pillow's own bound
ROWS = 512  # composited at a time
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
    return to_rgb(_read(path), background)


def read_alpha(path: str | os.PathLike) -> Tensor | None:
    """The picture's own transparency, upright: 1 1 H W in 0..1, 1 = opaque; None if it has none."""
    pixels = _read(path)
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
    if picture.shape[1] in (1, 3):
        return _unit(picture).expand(-1, 3, -1, -1).contiguous()
    composited = [_composited(rows, background) for rows in picture.split(ROWS, dim=2)]
    return torch.cat(composited, dim=2) if len(composited) > 1 else composited[0]


def _composited(picture: Tensor, background: Sequence[float]) -> Tensor:
    """Colour over the background by its alpha. B C H W, C = 2 or 4 -> B 3 H W"""
    picture = _unit(picture)
    color, alpha = picture[:, :-1], picture[:, -1:]
    behind = torch.tensor(tuple(background), dtype=picture.dtype, device=picture.device).view(
        1, 3, 1, 1
    )
    return color * alpha + behind * (1 - alpha)


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
    """The file as a Pillow image, the first frame in view, of a kind and a size that are opened
    here. Raises MediaError.
    """
    from PIL import Image, UnidentifiedImageError

    path = existing_file(path, "a picture")
    Image.init()  # all formats, of which those that this Pillow was built with are asked
    most = limits().pixels
    with _pillow_allows(most), decoding(path):
        try:
            image = Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
        except UnidentifiedImageError:
            raise MediaError(
                f"{path} is not a picture of a kind that is opened here: {', '.join(FORMATS)}."
            ) from None
        except Image.DecompressionBombError as error:
            raise _too_large(path, 2 * float(Image.MAX_IMAGE_PIXELS or most)) from error
    with image:
        check_size(path, *image.size)
        yield image


def decoding(path: str | os.PathLike) -> AbstractContextManager[None]:
    """Whatever the decoder raises in the block, of this picture, is one MediaError."""
    return boundary(MediaError, f"{path} is a damaged or unfinished picture: {{reason}}.")


def check_size(path: str | os.PathLike, width: int, height: int) -> None:
    """Refuse a picture that unpacks to far more than its file holds. Raises MediaError."""
    most = limits().pixels
    if width * height > max(most, min(PIXELS_A_BYTE * os.path.getsize(path), LARGEST)):
        raise _too_large(path, width * height)


def _too_large(path: str | os.PathLike, pixels: float) -> MediaError:
    return MediaError(
        f"{path} has {os.path.getsize(path)} bytes and unpacks to {pixels / 1e6:.0f} million pixels"
        f" or more: {how_to_raise('pixels', pixels)}."
    )


@contextmanager
def _pillow_allows(pixels: float) -> Iterator[None]:
    """Pillow's own bound, which is one for the whole program, gives way where ours was raised."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if before is not None and pixels > 2 * before:
            Image.MAX_IMAGE_PIXELS = int(pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def pixels_of(image: Any) -> Tensor:
    """A Pillow image, upright. 1 C H W, C = 1, 3 or 4; uint8, uint16 or float32"""
    import numpy as np
    from PIL import ImageOps

    path = getattr(image, "filename", "")
    check_size(path, *image.size)  # a frame may be larger than the first
    with decoding(path):
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            gray = np.array(image, dtype=np.float32)[None, None]
            return torch.from_numpy(gray if image.mode == "F" else gray / 65535)
        wanted = "RGBA" if image.has_transparency_data else "RGB"
        image = image if image.mode == wanted else image.convert(wanted)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def turned(pixels: np.ndarray, transposed: bool, mirrored: bool, flipped: bool) -> np.ndarray:
    """H W C, transposed, then mirrored left-right, then flipped top-bottom. A view."""
    pixels = pixels.swapaxes(0, 1) if transposed else pixels
    return pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]


def _read(path: str | os.PathLike) -> Tensor:
    """The stored pixels, upright. 1 C H W"""
    with opened(path) as image:
        if not _is_deep(image):
            return pixels_of(image)
        with decoding(path):
            return _read_deep(Path(path), image.getexif().get(0x0112, 1))


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
        order = cv2.COLOR_BGR2RGB if pixels.shape[-1] == 3 else cv2.COLOR_BGRA2RGBA
        pixels = cv2.cvtColor(pixels, order, dst=pixels)
    upright = turned(pixels, *UPRIGHT.get(orientation, (False, False, False)))
    return torch.from_numpy(np.ascontiguousarray(upright)).permute(2, 0, 1)[None]


def _unit(picture: Tensor) -> Tensor:
    """Integers to 0..1 float32; floats cut off at 0 and 1."""
    if picture.is_floating_point():
        return picture.clamp(0, 1)
    made = torch.empty(picture.shape, device=picture.device)  # once: large pictures are dear
    return made.copy_(picture).div_(255 if picture.dtype == torch.uint8 else 65535)
