"""Real time: the newest frame alone, a stated drop policy, latency from coming to going out."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from comfyui_motion import InputError, MediaError
from comfyui_motion.cli import main
from comfyui_motion.media.picture import write_picture
from comfyui_motion.media.video import read_video, write_video
from comfyui_motion.streaming.loop import Loop
from comfyui_motion.streaming.sinks import QUIT, RESET, Film, open_sink
from comfyui_motion.streaming.sources import Arrival, Newest, Source, open_source


class Shown:
    """A sink that remembers, and asks what it is told to ask."""

    def __init__(self, asks=()):
        self.frames, self.words, self.asks = [], [], list(asks)

    def show(self, frame, words):
        self.frames.append(frame)
        self.words.append(words)

    def asked(self):
        return self.asks.pop(0) if self.asks else None


class Session:
    """Turns frames round, and has the next one come."""

    def __init__(self, newest):
        self.newest, self.resets, self.lost, self.number = newest, 0, False, 0

    def reset(self):
        self.resets += 1

    def __call__(self, frame):
        self.number += 1
        self.newest.put(arrival(self.number))
        return 1 - frame


def arrival(number):
    return Arrival(torch.full((1, 3, 2, 2), number / 10), time.perf_counter(), number)


def test_a_newer_frame_takes_the_place_of_one_that_nobody_took():
    newest = Newest()
    for number in range(3):
        newest.put(arrival(number))
    assert newest.take(0).number == 2 and newest.dropped == 2
    assert newest.take(0) is None and not newest.over
    newest.put(arrival(3))
    newest.end()
    assert not newest.over and newest.take(0).number == 3 and newest.over


def test_a_frame_that_has_waited_for_long_is_left_for_the_next_but_not_if_none_comes():
    newest, rate = Newest(), 0.5  # one every two seconds
    newest.put(Arrival(torch.zeros(1, 3, 2, 2), time.perf_counter() - 1.9, 0))
    threading.Timer(0.1, newest.put, [arrival(1)]).start()
    assert newest.take(0, rate).number == 1 and newest.dropped == 1
    newest.put(arrival(2))
    assert newest.take(0, rate).number == 2  # it has just come
    newest.put(Arrival(torch.zeros(1, 3, 2, 2), time.perf_counter() - 0.09, 3))
    assert newest.take(0, 10).number == 3 and newest.dropped == 1
    newest.put(Arrival(torch.zeros(1, 3, 2, 2), time.perf_counter() - 1.9, 4))
    newest.end()
    assert newest.take(0, rate).number == 4 and newest.over


def test_what_ended_the_source_is_told_after_its_last_frame():
    newest = Newest()
    newest.put(arrival(0))
    newest.end(MediaError("The camera gives no more frames."))
    assert newest.take(0) is not None
    with pytest.raises(MediaError, match="no more frames"):
        newest.take(0)


def test_the_loop_shows_counts_resets_and_quits():
    newest = Newest()
    session, sink = Session(newest), Shown([None, RESET, None, QUIT])
    newest.put(arrival(0))
    told = Loop(session, Source(newest, 25), sink).run()
    assert told.shown == 3 and session.resets == 1
    assert 0 < told.latency <= told.worst and "3 frames shown" in str(told)
    assert sink.words[0] == "starting" and sink.words[1].endswith(" ms")


def test_a_clip_plays_in_real_time_and_ends(tmp_path):
    frames = torch.rand(6, 3, 32, 32)
    write_video(tmp_path / "clip.mp4", frames, 25)
    begun = time.perf_counter()
    with open_source(str(tmp_path / "clip.mp4"), 0) as source:
        seen = []
        while not source.newest.over:
            taken = source.newest.take(0.5)
            if taken is not None:
                seen.append(taken.number)
    assert time.perf_counter() - begun >= 0.19  # five gaps of 40 ms
    assert seen[-1] == 5 and len(seen) + source.newest.dropped == 6


def test_without_camera_or_clip_there_is_a_sentence():
    with pytest.raises(InputError, match="no camera 97"), open_source(None, 97):
        pass


def test_a_film_never_takes_the_place_of_what_is_read(tmp_path):
    (tmp_path / "me.mp4").touch()
    with (
        pytest.raises(InputError, match="also what is read"),
        open_sink(str(tmp_path / "me.mp4"), 25, [tmp_path / "me.mp4"]),
    ):
        pass


def test_nobody_waits_for_the_encoder_of_a_film():
    written, free = [], threading.Event()

    def write(frame):
        written.append(int(frame[0, 0, 0, 0]))
        free.wait(5)

    with Film(write, 1000) as film:
        for number in range(5):
            film.show(torch.full((1, 3, 2, 2), float(number)), "")
            if not number:
                while not written:
                    time.sleep(0.001)
        assert written == [0]  # the encoder is busy, and all five were taken
        free.set()
    assert film.passed_over == 3
    assert set(written) == {0, 4} and sorted(written) == written


def test_what_an_encoder_meets_is_told_to_who_shows():
    def write(frame):
        raise MediaError("The disk is full.")

    with pytest.raises(MediaError, match="disk is full"), Film(write, 25) as film:
        film.show(torch.zeros(1, 3, 2, 2), "")


def test_the_command_writes_what_it_showed_and_tells_the_latency(tmp_path, capsys):
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 12), (64, 96), mode="bicubic")
    write_picture(texture[..., :80].clamp(0, 1), tmp_path / "me.png")
    slide = torch.cat([texture[..., i : i + 80].clamp(0, 1) for i in range(8)])
    write_video(tmp_path / "clip.mp4", slide, 10)
    words = ["live", tmp_path / "me.png", "--clip", tmp_path / "clip.mp4", "--model", "flow"]
    assert main([str(w) for w in [*words, "--to", tmp_path / "out.mp4", "--side", 64]]) == 0
    told = capsys.readouterr().out
    assert "frames shown" in told and "latency" in told
    film = read_video(tmp_path / "out.mp4")
    assert (film.width, film.height, float(film.fps)) == (64, 52, 10.0)
