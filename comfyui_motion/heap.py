"""What this process keeps of freed memory, where that can be told (glibc)."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

KEPT = 1 << 25  # bytes: what is larger goes back to the system at once, and so much more is kept


@lru_cache(maxsize=1)
def c_library() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # another system's
        return None


def keep_freed() -> None:
    """Freed memory is kept for what comes next: frames are megabytes, and to fetch those anew for
    every step takes longer than most steps.
    """
    told = getattr(c_library(), "mallopt", None)
    if told is not None:
        for what, size in ((-3, KEPT), (-1, 16 * KEPT)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            told(what, size)


def drop_freed() -> None:
    """All that is free goes back to the system. In a long run what is kept of each step, a few
    numbers, lies between frames of megabytes, so that their room is used again less and less well.
    """
    trim = getattr(c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
