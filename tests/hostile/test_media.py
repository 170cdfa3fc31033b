"""Pictures and films that mean harm: no program starts, no other file is opened, no
memory fills.
"""

from __future__ import annotations

import os
import random
import stat
import struct
import sys

import pytest
import torch
from PIL import Image, ImageFile

import comfyui_motion as motion
from comfyui_motion.data.clips import read_strip, strip_size


def read_whole(path):
    return [len(batch) for batch in motion.read_video(path)]


READERS = (motion.read_picture, motion.read_video, read_whole)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.mp4", "a.mov", "a.webp"])
def test_a_script_under_another_name_starts_nothing_and_opens_nothing(
    tmp_path, mutants, refused, monkeypatch, name
):
    ran = tmp_path / "ran"
    (tmp_path / "gs").write_text(f"#!/bin/sh\necho $* >> {ran}\n")
    (tmp_path / "gs").chmod(0o755 | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    motion.write_video(tmp_path / "secret.mp4", torch.rand(2, 3, 32, 32), 25)
    for script in mutants.SCRIPTS.values():
        (tmp_path / name).write_bytes(script)
        for read in (*READERS, strip_size, lambda path: read_strip(path, [0])):
            refused(lambda read=read: read(tmp_path / name), motion.MediaError)
    assert not ran.exists()


def test_what_a_file_is_its_content_tells(tmp_path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.jpg", "PNG")
    assert motion.read_picture(tmp_path / "a.jpg").shape == (1, 3, 6, 8)


def test_a_picture_larger_than_its_file_is_refused_before_it_is_unpacked(
    tmp_path, mutants, refused, monkeypatch
):
    unpacked = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: unpacked.append(1) or load(self))
    for width, height in ((20_000, 20_000), (6000, 6000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)):
        (tmp_path / "a.png").write_bytes(mutants.png(width, height, rows=0))
        for read in READERS:
            said = refused(lambda read=read: read(tmp_path / "a.png"), motion.MediaError)
    (tmp_path / "a.gif").write_bytes(mutants.gif(65_535, 2))
    refused(lambda: motion.read_video(tmp_path / "a.gif"), motion.MediaError)
    assert not unpacked and "COMFYUI_MOTION_LIMITS=pixels=" in said


@pytest.mark.parametrize("bits", [8, 16])
def test_a_picture_without_its_pixels_is_a_sentence(tmp_path, mutants, refused, bits):
    (tmp_path / "a.png").write_bytes(mutants.png(400, 300, rows=0, bits=bits))
    for read in (motion.read_picture, read_whole):
        assert "unfinished" in refused(lambda read=read: read(tmp_path / "a.png"))


def test_a_large_picture_can_be_allowed(tmp_path, monkeypatch):
    Image.new("RGB", (60, 50)).save(tmp_path / "a.png")
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "pixels=10")
    monkeypatch.setattr("comfyui_motion.media.opening.PIXELS_A_BYTE", 0)
    with pytest.raises(motion.MediaError, match="pixels=3000"):
        motion.read_picture(tmp_path / "a.png")
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "pixels=3000")
    assert motion.read_picture(tmp_path / "a.png").shape == (1, 3, 50, 60)


def test_opening_a_long_animation_looks_at_its_first_frames(tmp_path, mutants, monkeypatch):
    (tmp_path / "a.gif").write_bytes(mutants.gif(64, 500))
    unpacked = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: unpacked.append(1) or load(self))
    assert motion.read_video(tmp_path / "a.gif").len_hint == 500
    assert len(unpacked) < 60


def test_an_animation_larger_than_its_file_is_refused_before_it_is_unpacked(
    tmp_path, mutants, refused, monkeypatch
):
    (tmp_path / "a.gif").write_bytes(mutants.gif(3000, 150))
    clip = motion.read_video(tmp_path / "a.gif")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("unpacked"))
    assert "COMFYUI_MOTION_LIMITS=moving=" in refused(lambda: list(clip), motion.MediaError)
    monkeypatch.undo()
    assert len(motion.read_video(tmp_path / "a.gif", stop=2).frames()) == 2


def test_damaged_pictures_are_a_sentence(tmp_path, mutants):
    chance = random.Random(20)
    for name, seed in mutants.pictures().items():
        for _ in range(25):
            (tmp_path / name).write_bytes(mutants.mutated(seed, chance))
            for read in (motion.read_picture, read_whole):
                try:
                    read(tmp_path / name)
                except motion.MotionError as error:
                    assert str(error).isprintable()


def test_damaged_films_are_a_sentence(tmp_path, mutants):
    motion.write_video(tmp_path / "whole.mp4", torch.rand(4, 3, 32, 48), 25)
    seed, chance = (tmp_path / "whole.mp4").read_bytes(), random.Random(7)
    for _ in range(40):
        (tmp_path / "a.mp4").write_bytes(mutants.mutated(seed, chance))
        try:
            read_whole(tmp_path / "a.mp4")
        except motion.MotionError as error:
            assert str(error).isprintable()


def test_special_files_are_a_sentence_at_once(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name in ("pipe.mp4", "pipe.png", "loop.png", "a" * 300 + ".png", "a\0b.mp4", "\udc80.png"):
        for read in READERS[:2]:
            refused(lambda read=read, name=name: read(tmp_path / name))


def test_a_mistake_of_ours_is_no_damaged_picture(tmp_path, monkeypatch):
    """What a decoder raises is a sentence; what we do wrong stays what it is."""
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")

    def broken(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("comfyui_motion.media.picture.to_rgb", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        motion.read_picture(tmp_path / "a.png")


def exr(width: int, height: int, channels: int = 3, tail: bytes = b"") -> bytes:
    """The header of an EXR picture that says it is so large, and zeros."""

    def told(name: str, kind: str, data: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(data)) + data

    planes = b"".join(b"c%d\0" % i + struct.pack("<iIii", 2, 0, 1, 1) for i in range(channels))
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = told("channels", "chlist", planes + b"\0") + told("compression", "compression", b"\3")
    head += told("dataWindow", "box2i", window) + told("displayWindow", "box2i", window)
    head += told("lineOrder", "lineOrder", b"\0") + told("pixelAspectRatio", "float", b"\0\0\x80?")
    head += told("screenWindowCenter", "v2f", bytes(8))
    head += told("screenWindowWidth", "float", b"\0\0\x80?")
    return struct.pack("<ii", 20000630, 2) + head + tail + b"\0" + bytes(400)


@pytest.mark.parametrize("with_package", [True, False])
def test_exr_pictures_cost_what_their_file_accounts_for(
    tmp_path, refused, monkeypatch, with_package
):
    if with_package:
        monkeypatch.setitem(sys.modules, "OpenEXR", None)  # whoever asks for it fails the test
    monkeypatch.setattr("comfyui_motion.media.exr.has_openexr", lambda: with_package)
    path = tmp_path / "a.exr"
    for size in ((60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (4000, 4000, 200)):
        path.write_bytes(exr(*size))
        assert "COMFYUI_MOTION_LIMITS=pixels=" in refused(lambda: motion.read_stmap(path))
    backwards = b"a\0b\0" + struct.pack("<i", -8)
    for damaged in (exr(-5, 8), exr(2**31 - 4, -9), exr(8, 8, tail=backwards)):
        path.write_bytes(damaged)
        assert "damaged within its header" in refused(lambda: motion.read_stmap(path))
