"""What plays on a node after the run: a small film in the host's temporary folder, and the words
that stay beside it. web/player.js shows both.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..comfyui_motion.media.picture import to_pixels, to_rgb
from . import host
from .convert import resized

HEIGHT = 360  # of the film, in pixels
LONGEST = 1500  # frames: a film for looking at
RATE = Fraction(25)  # frames a second of pictures that have none


class Film:
    """Frames as they come, side by side: `panels` are what each stands for ("driver", "before",
    "after"), which the page shows in turn, beside one another or under a slider.
    """

    def __init__(self, fps: Fraction | None = None, panels: Iterable[str] = ("after",)) -> None:
        self.fps, self.panels, self.count = fps or RATE, tuple(panels), 0
        self.widths: list[int] = []
        self._path, self._entry = "", {}
        self._container: Any = None
        self._writer, self._numbers = ThreadPoolExecutor(1), count()
        self._written: Future[None] | None = None

    def add(self, *pictures: Tensor) -> None:
        """A batch for each panel, B 3 H W in 0..1; one picture serves all frames. Written while the
        next are made.
        """
        if self.count >= LONGEST:
            return
        self.count += max(map(len, pictures))
        if self._written is not None:
            self._written.result()
        self._written = self._writer.submit(self._write, pictures)

    @torch.inference_mode()
    def _write(self, pictures: tuple[Tensor, ...]) -> None:
        rows = [to_pixels(_small(batch)).cpu().numpy() for batch in pictures]
        self.widths = self.widths or [row.shape[2] for row in rows]
        for i in range(max(map(len, rows))):
            self._encode(np.concatenate([row[i % len(row)] for row in rows], axis=1))

    def shown(self, words: Iterable[str] = ()) -> dict[str, Any]:
        """What the page is told of it. Ends the film."""
        told: dict[str, Any] = {"motion_words": list(words)}
        if self._written is not None:
            self._written.result()
        if self._container is None:
            return told
        self._container.mux(self._stream.encode(None))
        self._container.close()
        film = {"panels": self.panels, "widths": self.widths, "frames": self.count}
        return told | {"motion_film": [self._entry | film | {"fps": float(self.fps)}]}

    def _encode(self, pixels: Any) -> None:
        import av

        container = self._container
        if container is None:
            container = self._open(*pixels.shape[:2])
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = next(self._numbers)
        container.mux(self._stream.encode(frame))

    def _open(self, height: int, width: int) -> Any:
        import av

        self._path, self._entry = host.temporary("film.mp4")
        container = av.open(self._path, "w", options={"movflags": "+faststart"})
        self._container = container
        options = {"crf": "20", "preset": "ultrafast", "tune": "fastdecode"}
        self._stream: Any = container.add_stream("libx264", rate=self.fps, options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = 1 / self.fps
        return container


def _small(pictures: Tensor) -> Tensor:
    """Of the film's height, the width even. B C H W -> B 3 h w"""
    height, width = pictures.shape[-2:]
    return resized(to_rgb(pictures), HEIGHT, max(2, 2 * round(width * HEIGHT / height / 2)))


def film_of(pictures: Tensor, fps: Fraction | None = None) -> dict[str, Any]:
    """A finished film of frames B 3 H W, as the page is told of it."""
    film = Film(fps)
    for batch in pictures.split(16):
        film.add(batch)
    return film.shown()
