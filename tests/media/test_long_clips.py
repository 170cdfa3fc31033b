"""Clips longer than memory: the batch is halved when it does not fit, and what is kept does not
grow.
"""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.bench.lively import clip, lively, pictures
from comfyui_motion.memory import frames_at_once, in_parts
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

SMALL = HourglassShape(8, 32, 2)


@pytest.fixture
def model():
    return lively(
        motion.build("fomm", detector=SMALL, dense=SMALL, body=BodyShape(16, 32, 2, 1), size=64)
    )


class Narrow:
    """A device that holds so many frames."""

    def __init__(self, work, room: int) -> None:
        self.work, self.room, self.sizes = work, room, []

    def __call__(self, portrait, field):
        self.sizes.append(len(field))
        if len(field) > self.room:
            raise torch.cuda.OutOfMemoryError("no room")
        return self.work(portrait, field)


@torch.no_grad()
def test_the_batch_is_halved_when_memory_runs_out_and_stays_so(model, monkeypatch):
    source, driving = pictures(1, 64, torch.Generator().manual_seed(0)), clip(16, 64)
    expected = torch.cat(list(motion.animate(model, source, driving, batch_size=8)))
    narrow = Narrow(model.generate, room=2)
    monkeypatch.setattr(model, "generate", narrow)
    found = torch.cat(list(motion.animate(model, source, driving, batch_size=8)))
    assert_close(found, expected, atol=1e-5, rtol=0)
    assert narrow.sizes == [
        8,
        4,
        2,
        2,
        4,
        2,
        2,
        2,
        2,
        2,
        2,
    ], "the first batch in parts, then all small at once"


def test_a_frame_that_does_not_fit_alone_says_so():
    def full(batch):
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        list(in_parts(full, torch.zeros(4, 3, 2, 2)))


def test_a_gpu_takes_what_its_free_memory_holds(model, monkeypatch):
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    for free, expected in ((2**20, 1), (2**40, 32)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert frames_at_once(model) == expected
