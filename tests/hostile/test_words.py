"""Words out of files are shown as words: on the page, in the terminal, in the log."""

from __future__ import annotations

import io
import logging

import pytest
import torch
from safetensors.torch import save_file

import comfyui_motion as motion
from comfyui_motion.cli.out import complain, say
from comfyui_motion.doors.words import listed, logger, shown

EVIL = "\x1b[2J<img src=x onerror=alert(1)>\u202egnp.exe\udc80\x07"


@pytest.mark.parametrize("text", [EVIL, EVIL * 500, "a" * 100_000, "\u2028\u2029\x85\n\r"])
def test_no_markup_no_control_no_length(text):
    said = shown(text)
    assert said.isprintable() and "<" not in said and len(said) <= 80


def test_what_is_harmless_stays_as_it_is():
    for text in ("vox-cpk (1).pth.tar", "Größe 3 × 4 → 5 > 2 & so on", "写真.png"):
        assert shown(text) == text


def test_a_long_text_keeps_its_beginning_and_its_end():
    said = shown("begin" + "x" * 1000 + "end")
    assert said.startswith("begin") and said.endswith("end")


def test_numbers_that_python_does_not_write_are_named():
    assert shown(10**5000) == "a int too long to write"


def test_of_many_the_first_are_listed():
    assert listed(range(10), 2) == "0, 1 and 8 more"


@pytest.mark.parametrize("kind", [motion.InputError, motion.MediaError, motion.UnsafeCheckpoint])
def test_every_error_is_a_sentence_fit_to_be_shown(kind):
    said = str(kind(f"{EVIL * 1000} could not be read."))
    assert said.isprintable() and "<" not in said and len(said) < 1000
    assert said.endswith("could not be read.")


def test_a_report_holds_no_markup_of_the_file(tmp_path):
    evil = EVIL.replace("\udc80", "")
    content = {f"optimizer {i} {evil}": torch.zeros(1) for i in range(100)}
    content |= {key: value.clone() for key, value in motion.build("fomm").state_dict().items()}
    save_file(content, tmp_path / "a.safetensors")
    told = str(motion.inspect(tmp_path / "a.safetensors"))
    assert "<" not in told and "\x1b" not in told and "and 92 more" in told


@pytest.mark.parametrize("name", [EVIL.replace("\udc80", ""), "a\n\nb", "a" * 100_000])
def test_a_tensor_of_any_name_gives_one_line(tmp_path, refused, name):
    save_file({name: torch.zeros(1)}, tmp_path / "a.safetensors")
    refused(lambda: motion.inspect(tmp_path / "a.safetensors"), motion.UnknownCheckpoint)


def test_the_terminal_gets_words_alone(capsys):
    say(EVIL)
    complain(EVIL)
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "<" not in out + err


def test_the_log_gets_words_alone():
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logger().addHandler(handler)
    try:
        logger().warning("%s of %d", EVIL, 3)
    finally:
        logger().removeHandler(handler)
    assert heard.getvalue().strip().isprintable() and "<" not in heard.getvalue()
