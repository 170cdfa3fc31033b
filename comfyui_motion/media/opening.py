"""Opening pictures with Pillow: of the kinds that are opened here, by their content, and of a size
that their file accounts for.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from ..doors.limits import how_to_raise, limits
from ..errors import MediaError, boundary
from .files import existing_file
from .foreign import LOOKED_AT, is_raw
from .kinds import is_tiff, kinds_of, no_picture
from .points import heed
from .promised import whole_frames

PIXELS_A_BYTE = 32  # photographs have one or two, drawings up to some dozens
LARGEST = 170e6  # pixels, about Pillow's own bound


@contextmanager
def opened(path: str | os.PathLike[str]) -> Generator[Any]:
    """The file as a Pillow image, the first frame in view, of a kind and a size that are opened
    here; its info has the Tone of what says its colours by number. Raises MediaError.
    """
    from PIL import Image, UnidentifiedImageError

    path = existing_file(path, "a picture")
    Image.init()  # all formats, of which those that this Pillow was built with are asked
    most = limits().pixels
    with ExitStack() as stack:
        # by a handle, since Pillow 13 maps a path's pixels before it turns them, to garbage
        tiff = stack.enter_context(path.open("rb")) if is_tiff(path) else None
        if tiff and is_raw(path, tiff.read(LOOKED_AT)):
            raise MediaError(no_picture(path))
        with _pillow_allows(most), decoding(path):
            try:
                kinds = [kind for kind in kinds_of(path) if kind in Image.OPEN]
                image = Image.open(whole_frames(path) or tiff or path, formats=kinds)
            except UnidentifiedImageError:
                raise MediaError(no_picture(path)) from None
            except Image.DecompressionBombError as error:
                raise _too_large(path, 2 * float(Image.MAX_IMAGE_PIXELS or most)) from error
        stack.enter_context(image)
        heed(path, image.info)
        check_size(path, *image.size)
        yield image


def decoding(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Whatever the decoder raises in the block, of this picture, is one MediaError."""
    return boundary(MediaError, f"{path} is a damaged or unfinished picture: {{reason}}.")


def check_size(path: str | os.PathLike[str], width: int, height: int) -> None:
    """Refuse a picture that unpacks to far more than its file holds. Raises MediaError."""
    if width * height > most_pixels(path):
        raise _too_large(path, width * height)


def most_pixels(path: str | os.PathLike[str]) -> float:
    """Of one picture or frame of that file."""
    return max(limits().pixels, min(PIXELS_A_BYTE * os.path.getsize(path), LARGEST))


def _too_large(path: str | os.PathLike[str], pixels: float) -> MediaError:
    return MediaError(
        f"{path} has {os.path.getsize(path)} bytes and unpacks to {pixels / 1e6:.0f} million pixels"
        f" or more: {how_to_raise('pixels', pixels)}."
    )


@contextmanager
def _pillow_allows(pixels: float) -> Generator[None]:
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
