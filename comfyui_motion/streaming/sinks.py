"""Where frames go in real time: a window, a virtual camera, a film."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..errors import InputError
from ..media.picture import to_pixels
from ..media.video import VideoWriter

QUIT, RESET = "quit", "reset"
KEYS = {"q": QUIT, "Escape": QUIT, "r": RESET, "space": RESET}


class Sink(Protocol):
    """What shows frames, and tells what its viewer asks for."""

    def show(self, frame: Tensor, words: str) -> None:
        """1 3 H W in 0..1, and a line to show beside it."""

    def asked(self) -> str | None:
        """QUIT, RESET, or None."""


@contextmanager
def open_sink(where: str, rate: float, reads: Sequence[Path] = ()) -> Iterator[Sink]:
    """ "window", "camera", or the name of a film to write. Raises InputError, MediaError."""
    if where == "window":
        window = Window()
        try:
            yield window
        finally:
            window.close()
    elif where == "camera":
        camera = VirtualCamera(rate)
        try:
            yield camera
        finally:
            camera.close()
    else:
        for path in reads:
            if path.exists() and os.path.realpath(path) == os.path.realpath(where):
                raise InputError(f"{where} is also what is read; name another film to write.")
        with VideoWriter(where, rate) as writer:
            yield Film(writer.write, rate)


class Window:
    """A window of the desktop. r or space: the face of now is at rest. q or Escape: the end."""

    def __init__(self) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise InputError(
                "This Python has no tkinter, which windows need: install python3-tk, or name a film"
                " or `camera` (--to)."
            ) from error
        try:
            self._root = tkinter.Tk(className="comfyui-motion")
        except tkinter.TclError as error:
            raise InputError(
                f"There is no screen to open a window on ({error}); name a film or `camera` (--to)."
            ) from error
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._asked: list[str] = []
        self._root.bind("<Key>", lambda event: self._key(event.keysym))
        self._root.protocol("WM_DELETE_WINDOW", lambda: self._asked.append(QUIT))

    def _key(self, name: str) -> None:
        if name in KEYS:
            self._asked.append(KEYS[name])

    def show(self, frame: Tensor, words: str) -> None:
        from PIL import Image, ImageTk

        self._picture: Any = ImageTk.PhotoImage(Image.fromarray(to_pixels(frame)[0].cpu().numpy()))
        self._label.configure(image=self._picture)
        self._root.title(f"comfyui-motion: {words}")
        self._root.update()

    def asked(self) -> str | None:
        self._root.update()
        return self._asked.pop(0) if self._asked else None

    def close(self) -> None:
        self._root.destroy()


class VirtualCamera:
    """A camera that other programs see. It opens with the first frame, which decides its size."""

    def __init__(self, rate: float) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise InputError(
                "A virtual camera needs pyvirtualcam: pip install 'comfyui_motion[live]'."
            ) from error
        self._open: Callable[..., Any] = pyvirtualcam.Camera
        self._rate, self._camera = rate, None

    def show(self, frame: Tensor, words: str) -> None:
        pixels = to_pixels(frame)[0].cpu().numpy()
        if self._camera is None:
            try:
                height, width = pixels.shape[:2]
                self._camera = self._open(width=width, height=height, fps=self._rate)
            except RuntimeError as error:
                raise InputError(f"No virtual camera can be opened here: {error}.") from error
        self._camera.send(pixels)

    def asked(self) -> str | None:
        return None

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()


class Film:
    """A film of what was shown, at a constant rate: a frame is held as long as it was on show."""

    def __init__(self, write: Callable[[Tensor], None], rate: float) -> None:
        self._write, self._rate = write, rate
        self._begun: float | None = None
        self._count = 0

    def show(self, frame: Tensor, words: str) -> None:
        now = time.perf_counter()
        self._begun = now if self._begun is None else self._begun
        wanted = round((now - self._begun) * self._rate) + 1
        for _ in range(self._count, max(wanted, self._count + 1)):
            self._write(frame)
            self._count += 1

    def asked(self) -> str | None:
        return None
