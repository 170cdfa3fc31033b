"""Numbered PNG sequences: the whole of one appears at its place, or nothing of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..doors.words import logger
from ..errors import InputError, MediaError
from .files import (
    check_parent,
    flushed,
    kept_unfinished,
    made_folder,
    partial_path,
    real_target,
    temporary,
    writing,
)
from .naming import Numbered
from .picture import save_pixels

if TYPE_CHECKING:
    import numpy as np

Encode = Callable[["np.ndarray"], None]


@contextmanager
def sequence(pattern: Path, overwrite: bool, keep: bool = False) -> Generator[Encode]:
    """Give a function that takes one frame, H W 3 or H W 4.

    The pictures gather in a folder beside the target until all are there. `keep`: where the work
    fails, what there is stays beside the target.
    """
    folder, name = pattern.parent, Numbered.of(pattern.name)
    check_sequence(pattern, overwrite)
    gathering, count = partial_path(real_target(folder)), 0

    def save(pixels: np.ndarray) -> None:
        nonlocal count
        with writing(pattern):
            save_pixels(pixels, gathering / name(count))
        count += 1

    with temporary(gathering):
        with writing(pattern):
            gathering.mkdir()
        try:
            yield save
        except Exception:
            if keep and count:
                kept = kept_unfinished(gathering, folder)
                logger().warning("The %d frames that were finished are kept in %s.", count, kept)
            raise
        if not count:
            raise MediaError(f"{pattern} was not written: no frames came.")
        with writing(pattern):
            _flush(gathering)
            _settle(gathering, real_target(folder), name)


def check_sequence(pattern: Path, overwrite: bool) -> None:
    """Refuse a sequence that could not be written, or would come among what is there."""
    folder = pattern.parent
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise MediaError(f"{folder} is a file, and a folder for a sequence was expected.")
    if (
        not overwrite
        and os.path.isdir(folder)
        and any(not entry.name.startswith(".") for entry in folder.iterdir())
    ):
        raise InputError(
            f"the folder {folder} is not empty: choose another, or let it overwrite (--overwrite,"
            f" overwrite=True), which replaces its {pattern.name} and no more."
        )
    check_parent(real_target(folder))


def _flush(folder: Path) -> None:
    for entry in folder.iterdir():
        flushed(entry)
    flushed(folder)


def _settle(gathering: Path, folder: Path, name: Numbered) -> None:
    """The finished pictures to their place.

    What else the folder holds is linked into the new one, which then takes the old one's place: at
    no moment are old and new pictures mixed. Where a folder cannot change places (it is mounted, or
    holds folders), pictures are exchanged one by one, and back again if that fails.
    """
    if not folder.exists():
        os.replace(gathering, folder)
        flushed(folder.parent)
        return
    old = partial_path(folder)
    with temporary(old):
        try:
            _linked(folder, gathering, name)
            os.replace(folder, old)
        except OSError:
            _exchange(gathering, folder, old, name)
            return
        try:
            os.replace(gathering, folder)
        except BaseException:
            os.replace(old, folder)
            raise
        flushed(folder.parent)


def _linked(folder: Path, gathering: Path, name: Numbered) -> None:
    """Everything but the sequence's own pictures, in both folders. Raises OSError if it cannot."""
    for entry in folder.iterdir():
        if not name.names(entry.name):
            os.link(entry, gathering / entry.name, follow_symlinks=False)


def _exchange(gathering: Path, folder: Path, old: Path, name: Numbered) -> None:
    made_folder(old)
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        os.replace(source, target)
        moved.append((source, target))

    new = [entry for entry in gathering.iterdir() if name.names(entry.name)]
    try:
        for entry in list(folder.iterdir()):
            if name.names(entry.name):
                move(entry, old / entry.name)
        for entry in new:
            move(entry, folder / entry.name)
    except BaseException:
        for source, target in reversed(moved):
            with suppress(OSError):
                os.replace(target, source)
        raise
