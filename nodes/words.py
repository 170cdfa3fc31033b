"""What the library warns of while a node works, on the node to stay."""

from __future__ import annotations

import functools
from typing import Any

from . import host


def speaking(node: Any) -> Any:
    """The node, its execute showing the warnings that were given meanwhile."""
    execute = node.execute
    if hasattr(execute, "__speaks__"):
        return node

    @functools.wraps(execute)
    def heard(cls: Any, **given: Any) -> Any:
        with host.told(getattr(cls.hidden, "unique_id", None)) as words:
            made = execute.__func__(cls, **given)
        return saying(made, words)

    marked: Any = heard
    marked.__speaks__ = True
    node.execute = classmethod(heard)
    return node


def saying(made: Any, words: list[str]) -> Any:
    """A node's output with these words on the node, beside those that it has."""
    if words:
        shown = made.ui or {}
        said = shown.get("motion_words", [])
        made.ui = shown | {"motion_words": [*said, *(word for word in words if word not in said)]}
    return made
