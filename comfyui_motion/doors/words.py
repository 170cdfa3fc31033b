"""Words that came out of a file, a name or a workflow, made fit to be shown: on a page, in a
terminal, in a log.

What passes here is no markup, moves no cursor, turns no writing direction round, and does not run
on for pages. Everything that the library says passes here: errors on being made, reports, log
lines, what the command prints, what the nodes tell.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable

A_NAME, A_SENTENCE, A_REPORT = 80, 900, 20_000  # characters
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's kinds that steer rather than show


def shown(value: object, limit: int = A_NAME, lines: bool = False) -> str:
    """The value as text of at most `limit` characters, its beginning and its end.

    What steers becomes a blank or a mark, "<" a quotation mark, so that no page takes it for a tag.
    `lines` keeps line breaks: for text of several lines that is ours.
    """
    text = value if isinstance(value, str) else _written(value)
    if len(text) > 2 * limit + 100:  # before every character is looked at
        text = text[: limit + 50] + text[-limit - 50 :]
    if not text.isascii() or not text.isprintable() or "<" in text:
        text = "".join(_harmless(character, lines) for character in text)
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 5]} ... {text[-end:]}"


def listed(values: Iterable[object], limit: int = 8) -> str:
    """The first of the values, separated by commas, and how many more there are."""
    values = list(values)
    more = f" and {len(values) - limit} more" if len(values) > limit else ""
    return ", ".join(shown(value) for value in values[:limit]) + more


def _written(value: object) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError):  # an integer of over 4300 digits, lists in lists
        return f"a {type(value).__name__} too long to write"


def _harmless(character: str, lines: bool) -> str:
    if character == "<":
        return "\u2039"
    if character in "\n\t":
        return character if lines else " "
    return "\ufffd" if unicodedata.category(character) in HIDDEN else character


class _Shown(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shown(record.getMessage(), A_REPORT, lines=True), ()
        return True


def logger() -> logging.Logger:
    """The library's logger, whose lines pass here too."""
    log = logging.getLogger("comfyui_motion")
    if not any(isinstance(known, _Shown) for known in log.filters):
        log.addFilter(_Shown())
    return log
