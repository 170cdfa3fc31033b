"""Nothing that is read is written over, no target is another; a target is whole or the old one."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import comfyui_motion as motion
from comfyui_motion.cli import main
from comfyui_motion.errors import InputError, MediaError
from comfyui_motion.jobs.job import Journal, Outcome
from comfyui_motion.media import files
from comfyui_motion.media.naming import Numbered, sequence_pattern
from comfyui_motion.media.picture import write_picture
from comfyui_motion.media.places import check_places
from comfyui_motion.media.video import VideoWriter, read_video, write_video

ROOT = Path(__file__).parents[2]
GRID = torch.rand(2, 64, 96, 2)
NOISE = torch.rand(12, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (64, 48), (200, 90, 40)).save(tmp_path / "p.png")
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (40 * number, 90, 40)).save(
            tmp_path / "frames" / f"{number:05d}.png"
        )
    os.link(tmp_path / "p.png", tmp_path / "linked.png")
    (tmp_path / "soft.png").symlink_to("p.png")
    (tmp_path / "same").symlink_to("frames")
    return tmp_path


@pytest.mark.parametrize(
    "target",
    [
        "p.png",
        "./p.png",
        "frames/../p.png",
        "linked.png",
        "soft.png",
        "frames/00001.png",
        "same/00001.png",
    ],
)
def test_no_target_is_what_is_read_however_it_is_spelt(folder, target):
    with pytest.raises(InputError, match=r"also what is to be read .*name another"):
        check_places(
            {"--preview": f"{folder}/{target}"},
            {"the picture": folder / "p.png", "the clip": folder / "frames"},
        )


@pytest.mark.parametrize("target", ["frames/", "frames/%05d.png", "same/%05d.png", "same"])
def test_no_sequence_is_written_over_the_frames_that_are_read(folder, target):
    with pytest.raises(InputError, match="also what is to be read"):
        check_places({"-o": f"{folder}/{target}"}, {"the clip": folder / "frames"})
    check_places({"-o": f"{folder}/frames/%04d.png"}, {"the clip": folder / "frames"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("o.mp4", "o.mp4"),
        ("o.mp4", "./o.mp4"),
        ("new/", "new/%05d.png"),
        ("new/", "new/00002.png"),
        ("same/o.mp4", "frames/o.mp4"),
    ],
)
def test_no_two_targets_are_one(folder, one, other):
    with pytest.raises(InputError, match="same place"):
        check_places({"--output": f"{folder}/{one}", "--occlusion": f"{folder}/{other}"}, {})


def test_every_command_refuses_before_any_work(folder, film, capsys):
    driver, picture = film("d.mp4", 4), folder / "p.png"
    os.link(driver, folder / "a.mp4")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for words in (
        ["animate", picture, driver, "-o", folder / "o.mp4", "--preview", picture],
        ["animate", picture, driver, "-o", folder / "o.mp4", "--occlusion", folder / "o.mp4"],
        ["animate", picture, driver, "-o", driver],
        ["animate", picture, folder / "frames", "-o", f"{folder}/frames/", "--overwrite"],
        ["swap", picture, folder / "linked.png", "-o", folder / "linked.png"],
        ["pose", picture, "-o", folder / "linked.png", "--overwrite"],
        ["pose", picture, "-o", folder / "o.png", "--keypoints", picture, "--overwrite"],
        ["passes", driver, "--frames", folder / "a.mp4", "-o", folder, "--name", "a"],
    ):
        assert main([str(word) for word in words]) == 2
        assert "name another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name", ["\u957f" * 83 + ".mp4", "50%done.mp4", "100% %s %.mp4", "a b'\".mp4", "-.mp4"]
)
def test_every_name_that_the_system_takes_can_be_a_target(tmp_path, name):
    assert write_video(tmp_path / name, NOISE, 25) == 12 and os.listdir(tmp_path) == [name]


def test_a_name_that_it_does_not_take_is_a_sentence(tmp_path):
    for name in ("x" * 256 + ".mp4", "x" * 300 + ".png"):
        with pytest.raises(MediaError, match="longer than the file system allows"):
            (write_video if name.endswith("mp4") else write_picture)(
                *(
                    (tmp_path / name, NOISE, 25)
                    if name.endswith("mp4")
                    else (NOISE[0], tmp_path / name)
                )
            )


@given(before=st.text("ab%.d -", max_size=6), width=st.integers(1, 8), number=st.integers(0, 10**6))
def test_a_numbered_name_is_known_again(before, width, number):
    name = Numbered.of(f"%0{width}d.png")
    named = Numbered(before, name.width, name.after)
    assert named.names(named(number)) and not named.names(f"{before}x{number}.png")
    assert not named.names(f"{before}.png")


@pytest.mark.parametrize("name", ["50%done.mp4", "100%.mp4", "%s.mp4"])
def test_a_percent_alone_is_no_pattern(name):
    assert sequence_pattern(name) is None


@contextmanager
def small_disk():
    """Files of no more than 4 kB can be written, by anyone in this process: pytest's own log, where
    it is a file, must not grow meanwhile.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITERS = {
    "mp4": lambda path: write_video(path / "o.mp4", NOISE, 25, crf=1),
    "webm": lambda path: write_video(path / "o.webm", NOISE, 25, crf=1),
    "gif": lambda path: write_video(path / "o.gif", NOISE, 25),
    "webp": lambda path: write_video(path / "o.webp", NOISE, 25),
    "sequence": lambda path: write_video(f"{path}/frames/", NOISE, 25),
    "deep sequence": lambda path: write_video(f"{path}/frames/", NOISE, 25, bits=16),
    "png": lambda path: write_picture(NOISE[0], path / "o.png"),
    "tif": lambda path: write_picture(NOISE[0], path / "o.tif", bits=16),
    "passes": lambda path: motion.write_passes(
        path / "passes", motion.MotionField(GRID), NOISE[:2]
    ),
    "field": lambda path: motion.save_field(path / "f.safetensors", motion.MotionField(GRID)),
    "text": lambda path: files.write_text(path / "o.txt", "x" * 9000),
    "model": lambda path: motion.save(motion.build("flow"), path / "o.safetensors"),
}


@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "model"])
def test_a_full_disk_is_one_sentence_from_every_writer(tmp_path, writer):
    with (
        pytest.raises(MediaError, match="cannot be written: it grows larger") as caught,
        small_disk(),
    ):
        WRITERS[writer](tmp_path)
    assert "sound" not in str(caught.value) and "partial" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("writer", ["mp4", "sequence", "png", "text"])
def test_what_the_system_says_at_the_end_is_one_sentence(tmp_path, monkeypatch, number, writer):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "flushed", full)
    monkeypatch.setattr("comfyui_motion.media.sequence.flushed", full)
    with pytest.raises(MediaError, match="cannot be written: "):
        WRITERS[writer](tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_target_in_a_folder_that_cannot_be_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("a file")
    for target in (tmp_path / "none" / "o.mp4", tmp_path / "file" / "o.mp4"):
        with pytest.raises(MediaError, match="does not exist|file is a file"):
            write_video(target, NOISE, 25)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="a pipe or a device"):
        write_video(tmp_path / "pipe.mp4", NOISE, 25)


def test_a_link_stays_and_what_it_stands_for_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "o.png").symlink_to(tmp_path / "real" / "o.png")
    write_picture(NOISE[0], tmp_path / "o.png")
    assert (tmp_path / "o.png").is_symlink() and (tmp_path / "real" / "o.png").stat().st_size > 99


def test_two_writers_of_one_target_leave_one_of_their_films(tmp_path):
    def write(count):
        write_video(tmp_path / "o.mp4", NOISE[:count], 25)

    threads = [threading.Thread(target=write, args=(count,)) for count in (4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_video(tmp_path / "o.mp4").frames()) in (4, 8)
    assert os.listdir(tmp_path) == ["o.mp4"]


@pytest.mark.parametrize("kept", ["mine.txt", "mine/"])
def test_a_replaced_sequence_is_whole_or_not_at_all(tmp_path, monkeypatch, kept):
    target = tmp_path / "frames"
    write_video(f"{target}/", NOISE, 25)
    (target / kept).mkdir() if kept.endswith("/") else (target / kept).write_text("mine")
    before = {path.name: path.read_bytes() for path in target.glob("*.png")}
    replace, calls = os.replace, []

    def breaks(source, place):
        calls.append(place)
        if len(calls) == (2 if kept == "mine.txt" else 5):
            raise OSError(errno.EIO, "an error")
        replace(source, place)

    with monkeypatch.context() as broken, pytest.raises(MediaError):
        broken.setattr(os, "replace", breaks)
        write_video(f"{target}/", NOISE[:5] * 0.5, 25, overwrite=True)
    assert {path.name: path.read_bytes() for path in target.glob("*.png")} == before
    write_video(f"{target}/", NOISE[:5] * 0.5, 25, overwrite=True)
    assert len(list(target.glob("*.png"))) == 5 and (target / kept).exists()
    assert os.listdir(tmp_path) == ["frames"]


def test_a_picture_that_vanishes_is_held_over(tmp_path, caplog):
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number, 9, 90)).save(tmp_path / f"{number}.png")
    clip = read_video(tmp_path)
    (tmp_path / "2.png").unlink()
    reds = [round(float(frame[0, 3, 3]) * 255) for frame in clip.frames()]
    assert reds == [0, 60, 60, 180] and "frame 2 could not be read" in caplog.text


PROGRAM = """
import sys, time
from comfyui_motion.cli.stopping import GRACE, SAID, stoppable
from comfyui_motion.media.video import VideoWriter
import torch
try:
    with stoppable(GRACE), VideoWriter(sys.argv[1], 25) as writer:
        while True:
            writer.write(torch.rand(2, 3, 64, 64))
            print("on", flush=True)
            end = time.monotonic() + float(sys.argv[2])
            while time.monotonic() < end:  # a long piece of work that hears nothing
                try:
                    time.sleep(0.2)
                except KeyboardInterrupt:
                    if float(sys.argv[2]) < 1: raise
except KeyboardInterrupt as stop:
    print(SAID, file=sys.stderr)
    sys.exit(stop.code)
"""


@pytest.mark.parametrize(("number", "busy"), [(signal.SIGTERM, 0.01), (signal.SIGINT, 30)])
def test_being_told_to_stop_leaves_nothing_within_a_second(tmp_path, number, busy):
    command = [sys.executable, "-c", PROGRAM, f"{tmp_path}/frames/", str(busy)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "on\n"
        time.sleep(0.3)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "Traceback" not in said
    assert "nothing half-written is left" in said and not list(tmp_path.iterdir())


@pytest.mark.soak
def test_a_kill_leaves_the_old_film(tmp_path):
    write_video(tmp_path / "o.mp4", NOISE, 25)
    before = (tmp_path / "o.mp4").read_bytes()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "o.mp4"), "0.01"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "on\n"
        process.kill()
        process.communicate()
    assert (tmp_path / "o.mp4").read_bytes() == before


@pytest.mark.soak
def test_a_closed_pipe_is_no_error(tmp_path):
    program = (
        "import sys; from comfyui_motion.cli import main; sys.exit(main(['models', '--json']))"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Error" not in done.stderr


def test_a_writer_that_fails_in_the_thread_says_it_of_its_target(tmp_path):
    with (
        pytest.raises(MediaError, match=r"o\.mp4 cannot be written"),
        small_disk(),
        VideoWriter(tmp_path / "o.mp4", 25, crf=1) as writer,
    ):
        for _ in range(50):
            writer.write(NOISE)


def test_a_contact_sheet_that_is_called_like_no_picture_is_refused_at_once(folder, film, capsys):
    words = ["animate", folder / "p.png", film("d.mp4", 3), "-o", folder / "o.mp4"]
    assert main([*map(str, words), "--preview", str(folder / "sheet.xyz")]) == 2
    assert "no picture's extension" in capsys.readouterr().err
    assert not (folder / "o.mp4").exists()


def test_sixteen_bits_are_not_promised_to_a_film(folder, film, capsys):
    words = ["animate", folder / "p.png", film("d.mp4", 3), "-o", folder / "o.mp4", "--bits", "16"]
    assert main([str(word) for word in words]) == 2
    assert "PNG sequences" in capsys.readouterr().err


def test_a_sidecar_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "motion.json").write_text("mine")
    with pytest.raises(InputError, match=r"already holds motion\.json"):
        motion.write_passes(tmp_path, motion.MotionField.identity(1, 8, 8))
    assert (tmp_path / "motion.json").read_text() == "mine"


def test_a_batch_s_journal_says_in_a_sentence_that_the_disk_is_full(tmp_path):
    journal, outcome = Journal(tmp_path / "jobs.jsonl"), Outcome("a", True, "made", 1.0, "w", 1)
    job = SimpleNamespace(name="a", fingerprint="x" * 9000)
    with pytest.raises(MediaError, match="cannot be written: it grows larger"), small_disk():
        journal.add(job, outcome)
