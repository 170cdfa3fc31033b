"""Long runs stay flat, and large pictures fit: `make soak`."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.errors import InputError
from comfyui_motion.media.video import VideoWriter, prefetch, read_video
from tests.heads.acting import SMALL

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def resident() -> float:
    """Megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_frame_that_does_not_fit_alone_says_what_would(model, monkeypatch):
    def full(portrait, field):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(model, "generate", full)
    with pytest.raises(InputError, match="single frame of 96x64; 48x32 takes a quarter"):
        list(motion.animate(model, torch.rand(1, 3, 64, 96), torch.rand(4, 3, 64, 64)))


@pytest.mark.soak
def test_five_thousand_frames_leave_memory_descriptors_and_threads_as_they_were(model, tmp_path):
    driver = tmp_path / "d.mp4"
    with VideoWriter(driver, 25) as writer:
        for _ in range(50):
            writer.write(torch.rand(100, 3, 64, 64))
    source, marks = torch.rand(1, 3, 128, 128), []
    clip = read_video(driver)
    with VideoWriter(tmp_path / "o.mp4", clip.fps) as writer:
        for frames in motion.animate(model, source, prefetch(clip.batches(8)), size="source"):
            writer.write(frames)
            if writer.count % 1000 == 0:
                gc.collect()
                marks.append((resident(), descriptors(), threading.active_count()))
    assert writer.count == 5000
    assert marks[-1][0] - marks[0][0] < 60, marks
    for now, begun in zip(marks[-1][1:], marks[0][1:], strict=True):
        assert now <= begun, marks  # less once the driver is read to its end


@pytest.mark.soak
def test_two_thousand_frames_of_720p_stay_flat(tmp_path):
    frame = torch.nn.functional.interpolate(torch.rand(1, 3, 45, 80), scale_factor=16)
    marks = []
    with VideoWriter(tmp_path / "d.mp4", 25) as writer:
        for number in range(2000):
            writer.write(frame.roll(number % 64, 3))
            if number % 500 == 499:
                marks.append(resident())
    for number, _ in enumerate(read_video(tmp_path / "d.mp4").batches(4)):
        if number % 125 == 124:
            marks.append(resident())
    assert max(marks) - marks[0] < 250, marks


PEAK = """
import resource, sys
from comfyui_motion.cli import main
main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.soak
def test_two_thousand_frames_of_720p_leave_liveportrait_where_two_hundred_do(tmp_path):
    small = {**SMALL, "depth": 2, "compressed": 1, "middles": 1, "size": 32}
    motion.save(motion.build("liveportrait", **small), tmp_path / "m.safetensors")
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 45, 80), scale_factor=16)
    motion.write_picture(picture, tmp_path / "p.png")
    with VideoWriter(tmp_path / "d.mp4", 25) as writer:
        for number in range(2000):
            writer.write(picture.roll(number % 64, 3))
    box = ("--subject", "440,160,840,560", "--driving-subject", "440,160,840,560")
    words = ["animate", "p.png", "d.mp4", "-o", "o.mp4", "--model", "m.safetensors", *box]
    peaks = []
    for stop in ("200", "2000"):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *words, "--stop", stop],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert f"{stop} frames of 1280x720" in done.stdout, done.stderr[-500:]
        peaks.append(int(done.stdout.split()[-1]) / 1000)
    assert peaks[1] - peaks[0] < 250, peaks  # a seventh of a megabyte a frame


@pytest.mark.soak
def test_three_hundred_loads_leave_memory_and_descriptors_as_they_were(model, tmp_path):
    motion.save(model, tmp_path / "m.safetensors")
    marks = []
    for number in range(300):
        motion.load(tmp_path / "m.safetensors", device="cpu")
        if number % 100 == 99:
            gc.collect()
            marks.append((resident(), descriptors()))
    assert marks[-1][0] - marks[0][0] < 40 and marks[-1][1] == marks[0][1], marks


PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 30,) * 2)
from comfyui_motion.cli import main
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.soak
@pytest.mark.parametrize(("width", "height", "room"), [(3840, 2160, 4), (7680, 4320, 6)])
@pytest.mark.parametrize("model", ["face", "flow"])
def test_a_large_picture_animates_in_little_memory(film, tmp_path, model, width, height, room):
    if model == "face":
        picture, driver = motion.read_picture(SAMPLES / "source.png"), SAMPLES / "driving.mp4"
    else:
        picture, driver = torch.rand(1, 3, 27, 48), film("d.mp4", 4)
    picture = torch.nn.functional.interpolate(picture, size=(height, width))
    motion.write_picture(picture, tmp_path / "p.png")
    words = ["animate", tmp_path / "p.png", driver, "-o", tmp_path / "o.mp4", "--stop", 4]
    words += ["--model", model]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(room), *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert len(read_video(tmp_path / "o.mp4").frames()) == 4
