"""What the command says: words out of files and names are made fit for a terminal here, once."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO, cast

from ..doors.words import A_SENTENCE, shown
from ..errors import InputError

NAME = "comfyui-motion"
A_TABLE = 1_000_000  # characters
LARGEST = 2**31 - 1  # of what is counted: frames, pixels, steps


@dataclass(frozen=True)
class Number:
    """The kind of an option's value: within a range, never NaN."""

    least: float = -LARGEST
    most: float = LARGEST
    whole: bool = True

    def __call__(self, text: str) -> float:
        return int(text) if self.whole else float(text)

    @property
    def what(self) -> str:
        return "a whole number" if self.whole else "a number"

    @property
    def range(self) -> str:
        if self.most == LARGEST and self.least > -LARGEST:
            return f"of {self.least:g} or more"
        return f"from {self.least:.10g} to {self.most:.10g}"


ANY_WHOLE, ANY = Number(), Number(whole=False)
AT_ONCE = Number(1, 65536)  # frames


def say(*words: object, file: TextIO | None = None, flush: bool = False) -> None:
    """A line, or several, on standard output, or on another stream."""
    print(shown(" ".join(map(str, words)), A_TABLE, lines=True), file=file, flush=flush)


def say_json(value: object) -> None:
    """One line of JSON, which is ASCII: for other programs, whole."""
    print(json.dumps(value, default=str))


def complain(words: object) -> None:
    """One sentence on standard error."""
    print(f"{NAME}: {shown(words, A_SENTENCE)}", file=sys.stderr)


def write_anything() -> None:
    """Terminals that lack a character get its number, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


class Parser(argparse.ArgumentParser):
    """One that says in one sentence what it was given, as words fit to be shown."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # a box may begin beyond the picture's edge: "-5,0,90,80" is no option
        self._negative_number_matcher = re.compile(r"-[\d.][-\d.,e+]*$")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """A value as the option takes it: not an empty one, and a number within its range."""
        name = "/".join(action.option_strings)
        if name and not arg_string.strip() and arg_string != action.default:
            raise argparse.ArgumentError(action, "a value was expected, and it is empty")
        kind = {int: ANY_WHOLE, float: ANY}.get(cast("Any", action.type), action.type)
        if not isinstance(kind, Number):
            return cast("Any", super())._get_value(action, arg_string)
        try:
            value = kind(arg_string)
        except ValueError:
            raise argparse.ArgumentError(
                action, f"{kind.what} was expected, not {shown(arg_string, 40)!r}"
            ) from None
        if not kind.least <= value <= kind.most:
            raise InputError(
                f"{name or action.dest} is {kind.what} {kind.range}, and {shown(arg_string, 40)}"
                " was given."
            )
        return value

    def error(self, message: str) -> NoReturn:
        complain(f"{message}; {self.prog} --help lists what can be given.")
        raise SystemExit(2)
