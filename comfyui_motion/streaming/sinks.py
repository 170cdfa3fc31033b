"""Where frames go in real time: a window, a virtual camera, a film."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..doors.words import logger
from ..errors import InputError
from ..media.picture import to_pixels
from ..media.video import VideoWriter
from .sources import Arrival, Newest

PATIENCE = 0.5  # seconds between two looks at whether there is an end
log = logger()
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
        with VideoWriter(where, rate) as writer, Film(writer.write, rate) as film:
            yield film


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
    """A film of what was shown, at a constant rate: a frame is held as long as it was on show.

    Written on a thread of its own: nobody waits for an encoder. Where that is behind, it goes on
    with the newest of what was shown, and what came before is held so much longer.
    """

    def __init__(self, write: Callable[[Tensor], None], rate: float) -> None:
        self._write, self._rate = write, rate
        self._newest, self._shown = Newest(), 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)

    def show(self, frame: Tensor, words: str) -> None:
        """Raises what the encoder met with an earlier frame."""
        if self._error is not None:
            raise self._error
        self._newest.put(Arrival(frame, time.perf_counter(), self._shown))
        self._shown += 1

    def asked(self) -> str | None:
        return None

    def __enter__(self) -> Film:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._newest.end()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error
        if self._newest.dropped:
            log.info("%d of %d frames shown are not in the film.", self.passed_over, self._shown)

    @property
    def passed_over(self) -> int:
        """Frames that were shown and are not in the film."""
        return self._newest.dropped

    def _run(self) -> None:
        try:
            for frame in self._in_time():
                self._write(frame)
        except BaseException as error:
            self._error = error

    def _in_time(self) -> Iterator[Tensor]:
        """What each tick of the film shows."""
        begun, count = 0.0, 0
        held: Tensor | None = None
        while not self._newest.over:
            arrival = self._newest.take(PATIENCE)
            if arrival is None:
                continue
            begun = arrival.at if held is None else begun
            while held is not None and count < round((arrival.at - begun) * self._rate):
                yield held
                count += 1
            held = arrival.frame
            yield held
            count += 1
