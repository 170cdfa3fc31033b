"""Options out of range: one sentence each, for every option of every command."""

from __future__ import annotations

import argparse
import re
from importlib import import_module

import pytest

from comfyui_motion.cli import COMMANDS, main
from comfyui_motion.cli.out import Number, Parser
from comfyui_motion.errors import InputError


def options_of(command):
    parser = Parser(prog=command)
    import_module(f"comfyui_motion.cli.{command}").add_options(parser)
    return [a for a in parser._actions if a.option_strings and a.nargs is None and a.default != ""]


def said(command, words, capsys):
    """What the command says of them, which is one sentence."""
    try:
        code = main([command, *words])
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr().err.strip()
    assert code == 2 and told.startswith("comfyui-motion: ") and len(told.splitlines()) == 1
    return told


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_without_its_value_says_which(command, capsys):
    for action in options_of(command):
        for empty in ("", " "):
            words = ["a", "b", action.option_strings[-1], empty]
            assert "it is empty" in said(command, words, capsys)


WRONG = ["nan", "inf", "-inf", "1e400", "9" * 400, "abc", "1,2", "0x10", "1/0"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_that_is_none_or_beyond_counting_is_one_sentence(command, capsys):
    for action in options_of(command):
        if not (action.type in (int, float) or isinstance(action.type, Number)):
            continue
        for wrong in WRONG:
            told = said(command, ["a", "b", f"{action.option_strings[-1]}={wrong}"], capsys)
            assert action.option_strings[-1] in told and "invalid" not in told


@pytest.mark.parametrize(
    ("command", "option", "wrong"),
    [
        *((command, "--batch", "0") for command in ("animate", "pose", "swap", "evaluate")),
        *(("swap", "--crf", crf) for crf in ("-1", "64")),
        ("animate", "--start", "-1"),
        ("live", "--camera", "-1"),
        ("live", "--side", "2147483647"),
        ("live", "--seconds", "0"),
        ("evaluate", "--size", "0"),
        ("evaluate", "--limit", "0"),
        ("passes", "--detail", "2147483647"),
        ("puppets", "--size", "2147483647"),
        ("batch", "--threads", "-1"),
        ("train", "--threads", "0"),
        ("bench", "--runs", "0"),
        ("submit", "--patience", "-1"),
    ],
)
def test_a_number_out_of_its_range_is_told_with_the_range(command, option, wrong, capsys):
    told = said(command, ["a", "b", f"{option}={wrong}"], capsys)
    assert option in told and wrong in told and re.search(" from .* to | or more", told)


def test_what_stands_for_nothing_by_default_is_no_empty_value():
    parser = Parser()
    parser.add_argument("--parts", default="")
    assert parser.parse_args([]).parts == ""
    parser.add_argument("--n", type=Number(0, 5), default=3)
    assert parser.parse_args(["--n", "5"]).n == 5 and parser.parse_args([]).n == 3
    with pytest.raises(InputError, match="from 0 to 5"):
        parser.parse_args(["--n", "6"])
    assert isinstance(parser, argparse.ArgumentParser)
