"""How many of the processor's cores one piece of work takes, where several go on beside one
another: small steps are slower on several, and their threads wait in each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import torch


class Cores(threading.local):
    """PyTorch's own threads, put aside. How many there are is each thread's own."""

    users, count = 0, 1

    @contextmanager
    def aside(self) -> Generator[int]:
        """How many there are; meanwhile there is one, as long as this thread is in here."""
        if not self.users:
            self.count = torch.get_num_threads()
            torch.set_num_threads(1)
        self.users += 1
        try:
            yield self.count
        finally:
            self.users -= 1
            if not self.users:
                torch.set_num_threads(self.count)


CORES = Cores()


class Pictures:
    """OpenCV's threads, which are the whole process's, put aside while anybody is in here."""

    def __init__(self) -> None:
        self.lock, self.users, self.count = threading.Lock(), 0, 1

    @contextmanager
    def aside(self) -> Generator[None]:
        import cv2

        with self.lock:
            if not self.users:
                self.count = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self.users += 1
        try:
            yield
        finally:
            with self.lock:
                self.users -= 1
                if not self.users:
                    cv2.setNumThreads(self.count)


PICTURES = Pictures()


@contextmanager
def one_core() -> Generator[None]:
    """What is in here goes on beside other work, and takes one core."""
    with CORES.aside(), PICTURES.aside():
        yield
