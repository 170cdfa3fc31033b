"""JSON from a file or a text box: read with its size known, whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import MotionError, boundary
from .limits import how_to_raise, limits


def read_json(text: str, kind: type[MotionError], what: str, advice: str) -> Any:
    """The document. Raises `kind`: "WHAT is not JSON (reason): ADVICE."

    NaN and infinities, which JSON does not have, are refused.
    """
    if len(text) > limits().text:
        raise kind(f"{what} has {len(text)} characters: {how_to_raise('text', len(text))}.")
    with boundary(kind, f"{what} is not JSON ({{reason}}): {advice}."):
        try:
            return json.loads(text, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("lists in lists without end") from None


def read_text(path: Path, kind: type[MotionError], advice: str) -> str:
    """A whole file of UTF-8, with or without a mark before it. Raises `kind`, also where it is
    longer than a document is.
    """
    with boundary(kind, f"{path} cannot be read as text ({{reason}}): {advice}."):
        if not path.is_file():
            raise ValueError("it is no file")
        size = path.stat().st_size
        if size > limits().text:
            raise ValueError(f"it has {size} bytes, and {how_to_raise('text', size)}")
        return path.read_text(encoding="utf-8-sig")


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a part of a document is an object."""
    return isinstance(value, dict)


def is_kept(value: object, form: str, version: int) -> TypeGuard[dict[str, Any]]:
    """Whether a document is of that format and version."""
    return is_table(value) and value.get("format") == form and value.get("version") == version


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")
