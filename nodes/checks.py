"""What a node is given, checked against what its inputs say, before it works.

The host checks widgets that are set by hand; a value that comes by a wire, or in a prompt sent to
its API, it hands on as it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..comfyui_motion import InputError, Keypoints, MotionModel
from ..comfyui_motion.doors.limits import how_to_raise, limits
from ..comfyui_motion.doors.words import listed, shown
from ..comfyui_motion.errors import reason_of

NUMBERS = {"INT": int, "FLOAT": (int, float)}


def checked(node: Any) -> Any:
    """The node, its execute checking what it is given. Raises InputError."""
    execute = node.execute
    if hasattr(execute, "__wrapped__"):
        return node

    @functools.wraps(execute)
    def careful(cls: Any, **given: Any) -> Any:
        for declared in cls.define_schema().inputs:
            if declared.id in given:
                check(declared, given[declared.id])
        return execute.__func__(cls, **given)

    node.execute = classmethod(careful)
    return node


def check(declared: Any, value: Any) -> None:
    """Refuse a value that the input does not take. Raises InputError."""
    kind = getattr(declared, "io_type", None) or declared.get_io_type()
    if kind in NUMBERS:
        _check_number(declared, value, NUMBERS[kind])
    elif kind == "BOOLEAN" and not isinstance(value, (bool, int)):
        raise InputError(f"{declared.id} is yes or no, and is {shown(repr(value))}.")
    elif kind == "STRING":
        _check_text(declared, value)
    elif kind == "COMBO":
        _check_choice(declared, value)


def _check_number(declared: Any, value: Any, kinds: Any) -> None:
    least, most = declared.min, declared.max
    whole = isinstance(value, kinds) and not isinstance(value, bool)
    if not whole or not least <= value <= most:  # not a number is not between any two
        raise InputError(
            f"{declared.id} is a number from {least:g} to {most:g}, and is {shown(repr(value))}."
        )


def _check_text(declared: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(f"{declared.id} is text, and is {shown(repr(value))}.")
    if len(value) > limits().text:
        raise InputError(
            f"{declared.id} has {len(value)} characters: {how_to_raise('text', len(value))}."
        )


def _check_choice(declared: Any, value: Any) -> None:
    """Of lists that the pack decides: files come and go, and those nodes look for themselves."""
    options = declared.options or []
    if declared.id != "model_name" and value not in options:
        raise InputError(f"{declared.id} is one of {listed(options)}, and is {shown(repr(value))}.")


def affordable(what: str, *sizes: int, bytes_each: int = 4) -> None:
    """Refuse to make what no machine holds, before it is begun. Raises InputError."""
    needed = math.prod(sizes) * bytes_each
    if needed > limits().output:
        raise InputError(
            f"{what} of {' x '.join(map(str, sizes))} numbers would take {needed / 1e9:.0f} GB:"
            f" make it smaller or do fewer frames at once; where there is as much memory,"
            f" {how_to_raise('output', needed)}."
        )


def check_driver(model: MotionModel, driving: Any, own: Any) -> None:
    """Refuse keypoints that cannot be this model's, whose own are known. Raises InputError."""
    if isinstance(driving, Keypoints) != isinstance(own, Keypoints):
        found = "keypoints" if isinstance(driving, Keypoints) else "frames' own values"
        raise InputError(f"A model of the family {model.family} is not driven by {found}; {SAME}")
    if not isinstance(own, Keypoints):
        return
    lacking = {name for name, _ in own.points()} - {name for name, _ in driving.points()}
    if driving.count != own.count or lacking - {"confidence"}:
        raise InputError(
            f"A model of the family {model.family} has {own.count} points with"
            f" {', '.join(name for name, _ in own.points())}, and there are {driving.count} with"
            f" {', '.join(name for name, _ in driving.points())}; {SAME}"
        )


SAME = "connect what Extract Keypoints and Estimate Motion make of the same model."


@contextmanager
def belonging(model: MotionModel, what: str) -> Iterator[None]:
    """What a network makes of another's values is a sentence. Memory and cancelling are the host's
    to answer. Raises InputError.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError, AttributeError, TypeError) as error:
        if type(error).__module__ != "builtins":
            raise  # the host's own, which say that the user has cancelled
        raise InputError(
            f"This {what} is not one that a model of the family {model.family} takes"
            f" ({reason_of(error)}); {SAME}"
        ) from error
