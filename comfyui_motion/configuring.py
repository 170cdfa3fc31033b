"""What a model is built from: the family's Parameters, from shapes, presets, metadata and options,
each value checked before anything is built.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .doors.documents import is_table, read_json
from .doors.words import listed, shown
from .errors import CheckpointError, InputError, MotionError
from .model import Family

FORMAT = "comfyui_motion"  # in a file's metadata: one of ours
# what values can be, by name, far beyond all that was published; inner shapes' fields too
RANGES: dict[str, tuple[float, float]] = {
    "size": (1, 16384),
    "channels": (1, 16),
    "head_padding": (0, 16),
    "temperature": (1e-6, 1e4),
    "keypoint_variance": (1e-9, 1e4),
    "clip_variance": (0, 1e4),
    **dict.fromkeys(("depth", "downs", "levels"), (0, 32)),
    **dict.fromkeys(("residuals", "refinement", "group_blocks"), (0, 256)),
    **dict.fromkeys(("detector_scale", "dense_scale", "flow_scale"), (1e-3, 1)),
    "segmentation_scale": (1e-3, 1),
}
WHOLE, REAL = (0, 65536), (-1e6, 1e6)  # of all other numbers


def configure(
    checkpoint: Checkpoint,
    kind: Family,
    overrides: Mapping[str, Any],
    known: tuple[dict[str, Any], str | None],
) -> tuple[Any, dict[str, str]]:
    """The family's Parameters, and where each value that no tensor tells comes from: given,
    metadata, a preset (`known`, with the name of its entry in the catalogue), or the family's
    default.
    """
    unknown = [name for name in overrides if name not in kind.assumed]
    if unknown:
        raise InputError(
            f"{kind.name} takes no option {unknown[0]!r}; what its tensors do not tell is"
            f" {', '.join(kind.assumed) or 'nothing'}."
        )
    name = checkpoint.path.name
    own = described(checkpoint, kind)
    shapes = _shapes(checkpoint, kind)
    preset, entry = ({}, None) if own else known
    preset = {name: value for name, value in preset.items() if name in kind.assumed}
    sources = dict.fromkeys(kind.assumed, "the family's default")
    sources |= dict.fromkeys((name for name in own if name in kind.assumed), "written in the file")
    sources |= dict.fromkeys(preset, f"as published in {entry}")
    sources |= dict.fromkeys(overrides, "given")
    given = parameters(kind, **{**preset, **overrides})  # an option's mistake is not the file's
    chosen = {name: getattr(given, name) for name in (*preset, *overrides)}
    try:
        spec = parameters(kind, **{**shapes, **own, **chosen})
    except InputError as error:
        raise CheckpointError(f"{name} is no {kind.name} that could be built: {error}") from error
    _check_against(spec, shapes, name)
    return spec, sources


class _Asked(dict[str, Tensor]):
    """Tensors by name, of which the last one asked for is known."""

    last = ""

    def __getitem__(self, name: str) -> Tensor:
        self.last = name
        return super().__getitem__(name)


def _shapes(checkpoint: Checkpoint, kind: Family) -> dict[str, Any]:
    """What the shapes tell. Raises CheckpointError, which names the tensor that does not."""
    asked = _Asked(checkpoint.tensors)
    unlike = f"{checkpoint.path.name} looks like {kind.name} but"
    try:
        return kind.configure(asked)
    except MotionError:
        raise
    except KeyError as error:
        raise CheckpointError(
            f"{unlike} lacks a tensor to configure it by ({shown(error.args[0])}); it is"
            " incomplete."
        ) from error
    except Exception as error:  # whatever a shape that is none of its own makes it raise
        raise CheckpointError(
            f"{unlike} its tensor {shown(asked.last)} has the shape"
            f" {tuple(asked.get(asked.last, torch.empty(0)).shape)}, by which it cannot be"
            " configured; it is damaged, or of a variant that was never published."
        ) from error


def described(checkpoint: Checkpoint, kind: Family) -> dict[str, Any]:
    """What one of our own files says of itself. Raises CheckpointError."""
    if checkpoint.metadata.get("format") != FORMAT:
        return {}
    advice = "it was changed by another program; convert the published file again"
    what = f"What {checkpoint.path.name} says of itself"
    text = checkpoint.metadata.get("parameters", "")
    own = read_json(text, CheckpointError, what, advice)
    if is_table(own) and asks_for_retired(own, kind):
        raise CheckpointError(
            f"{checkpoint.path.name} is the puppets model of an earlier version, which is no more:"
            " load face, which finds faces and moves them; the drawings that puppets learned from"
            " train any family (docs/training.md)."
        )
    own = without_retired(own, kind)
    if not is_table(own) or set(own) - set(_hints(kind.published)):
        raise CheckpointError(f"{what} is no parameters of {kind.name}: {advice}.")
    return own


def asks_for_retired(own: Mapping[str, Any], kind: Family) -> bool:
    """Whether a file asks for what this version of its family has no longer."""
    return any(own.get(name, neutral) != neutral for name, neutral in kind.retired.items())


def without_retired(own: Any, kind: Family) -> Any:
    """What an earlier version wrote besides, at values that changed nothing, left out."""
    if not is_table(own):
        return own
    return {name: value for name, value in own.items() if name not in kind.retired}


def _check_against(spec: Any, shapes: Mapping[str, Any], name: str) -> None:
    """What the file says and what its tensors show must agree: a bound may lie above, no more."""
    for parameter, told in shapes.items():
        said = getattr(spec, parameter)
        if said != told and not _bounded_alike(said, told):
            raise CheckpointError(
                f"{name} says its {parameter} is {shown(said)}, and its tensors show"
                f" {shown(told)}; it was changed by another program: convert the published file"
                " again."
            )


def _bounded_alike(said: Any, told: Any) -> bool:
    return (
        dataclasses.is_dataclass(said)
        and not isinstance(said, type)
        and type(said) is type(told)
        and getattr(said, "limit", 0) >= getattr(told, "limit", 0)
        and dataclasses.replace(said, limit=told.limit) == told
        if hasattr(told, "limit")
        else False
    )


def parameters(kind: Family, **values: Any) -> Any:
    """The family's published Parameters with some replaced; nested shapes may be dictionaries, as
    JSON has them. Raises InputError.
    """
    hints = _hints(kind.published)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise InputError(
            f"{kind.name} has no parameter {shown(unknown[0])!r}; it has {', '.join(hints)}."
        )
    typed = {
        name: _typed(hints[name], value, name, f"{kind.name}'s {name}")
        for name, value in values.items()
    }
    return dataclasses.replace(kind.published, **typed)


def _hints(published: Any) -> dict[str, Any]:
    return get_type_hints(cast("Any", type(published)))


def _typed(hint: Any, value: Any, name: str, where: str) -> Any:
    """`value` of the type that a parameter is declared with, within its range. Raises
    InputError.
    """
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _shape(hint, value, where)
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, float) and _is_number(value, hint):
        least, most = RANGES.get(name, WHOLE if hint is int else REAL)
        if not least <= value <= most:
            raise InputError(
                f"{where} is from {least:g} to {most:g}, and {shown(value)} was given."
            )
        return hint(value)
    if hint is str and isinstance(value, str):
        return value
    if get_origin(hint) is tuple and _fits(hint, value):
        values: Sequence[Any] = value
        kinds = [kind for kind in get_args(hint) if kind is not ...]
        kinds = kinds * len(values) if ... in get_args(hint) else kinds
        if len(kinds) == len(values) <= 64:
            return tuple(_typed(k, v, name, where) for k, v in zip(kinds, values, strict=True))
    for kind in () if get_origin(hint) is tuple else get_args(hint):  # one of several types
        if value is None and kind is type(None):
            return None
        if _fits(kind, value):
            return _typed(kind, value, name, where)
    raise InputError(f"{where} is {_name_of(hint)}, and {shown(repr(value))} was given.")


def _shape(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, hint):
        value = {part.name: getattr(value, part.name) for part in dataclasses.fields(hint)}
    hints: dict[str, Any] = get_type_hints(hint)
    told: Any = value
    if not isinstance(told, Mapping) or set(value) != set(hints):
        raise InputError(f"{where} has {', '.join(hints)}, and {shown(repr(value))} was given.")
    return hint(**{n: _typed(hints[n], value[n], n, f"{n} of {where}") for n in hints})


def _is_number(value: Any, hint: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or hint is float and math.isfinite(value)


def _fits(kind: Any, value: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, (list, tuple))
    if kind is bool or kind is str:
        return isinstance(value, kind)
    return kind in (int, float) and _is_number(value, kind)


def _name_of(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if not get_args(hint) else listed(get_args(hint))
