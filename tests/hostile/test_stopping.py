"""Ctrl-C and kill end the command, also while it begins, without a traceback and
without remains.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from PIL import Image

from comfyui_motion.cli.stopping import Stopped, _heard_within, stoppable

RUN = "from comfyui_motion.cli import program; program()"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


def begun(tmp_path, *command):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )


def waited(process, there) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end and not there():
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later", [0.0, 0.3])
def test_while_it_begins_the_system_ends_it(tmp_path, number, later):
    """From the library's first line on: before it the program is Python's alone."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import comfyui_motion; print('begun', flush=True); {RUN}",
            "models",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout and process.stdout.readline().strip() == b"begun"
    time.sleep(later)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode in (-number, 128 + number) and "Traceback" not in said


def test_at_work_it_clears_up(tmp_path, number=signal.SIGINT):
    Image.new("RGB", (64, 48), "green").save(tmp_path / "s.png")
    frames = [Image.new("RGB", (96, 96), (i, 40, 90)) for i in range(200)]
    frames[0].save(tmp_path / "d.gif", save_all=True, append_images=frames[1:], duration=40)
    out = tmp_path / "out"
    out.mkdir()
    process = begun(tmp_path, "animate", "s.png", "d.gif", "-o", "out/frames/", "--batch", "1")
    waited(process, lambda: any(out.rglob("*.png")))
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said and "stopped" in said
    assert list(out.iterdir()) == []


def test_work_that_hears_nothing_is_ended_from_beside_it(tmp_path):
    """As a long computation does, that gives no one else a turn to interrupt it."""
    script = (
        "import sys, time, pathlib, threading\n"
        "from comfyui_motion.cli.stopping import stoppable\n"
        "from comfyui_motion.media.files import temporary\n"
        "with stoppable(0.2), temporary(pathlib.Path('half')) as half:\n"
        "    half.write_text('x')\n"
        "    while True:\n"
        "        try: print('begun', flush=True); time.sleep(60)\n"
        "        except KeyboardInterrupt: pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout and process.stdout.readline().strip() == b"begun"
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 143 and "Traceback" not in said
    assert not (tmp_path / "half").exists()


def test_work_that_is_paused_keeps_the_time_it_has_to_end():
    told, tell = socket.socketpair()
    with told, tell:
        asked = []

        def waiting(read, write, odd, seconds):
            asked.append(seconds)
            return [], [], []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(select, "select", waiting)
            assert not _heard_within(told, 3.0)
        assert len(asked) == 30  # a pause takes one of them at most
        tell.send(b"x")
        assert _heard_within(told, 3.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_ends_its_step_first_is_stopped_by_the_signal_that_came(number):
    """As training does."""
    heard, before = [], signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stoppable(None):
        signal.signal(number, lambda *_: heard.append(1))
        os.kill(os.getpid(), number)
        raise KeyboardInterrupt
    assert heard and stopped.value.code == 128 + number
    assert signal.getsignal(number) is before
