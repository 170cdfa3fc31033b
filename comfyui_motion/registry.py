"""Tensors to model: recognise a checkpoint by content, configure it from shapes, load it strictly.

The only importer of the families.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from . import catalogue
from .checkpoint import Checkpoint, read
from .configuring import FORMAT, configure, parameters
from .devices import device_of
from .doors.documents import is_table
from .doors.weights import check_numbers
from .doors.words import A_REPORT, listed, logger, shown
from .errors import CheckpointError, InputError, UnknownCheckpoint, boundary
from .fileset import gather
from .half import half_of
from .model import Family, Files, MotionModel
from .speed.optimise import MODES, optimise
from .unwrapping import groups, unwrapped

# In the order they are asked: a released co-part file would also pass for FOMM.
FAMILIES = (
    "x2face",
    "tpsmm",
    "mraa",
    "copart",
    "monkeynet",
    "fomm",
    "face",
    "flow",
    "liveportrait",
)
DEFAULT = "face"  # bundled; for pictures with a face
PARTNER = "flow"  # needs no weights; animates what has no face
EXACT = "exact"
SPEEDS = (EXACT, *MODES)


def families() -> tuple[str, ...]:
    """The names of the families that are there, in the order in which they are asked."""
    return FAMILIES


@lru_cache
def family(name: str) -> Family:
    """The family of that name, its file imported now if it was not yet. Raises InputError."""
    if name not in FAMILIES:
        raise InputError(f"There is no family {name!r}; there are {', '.join(FAMILIES)}.")
    return importlib.import_module(f".networks.{name}", __package__).FAMILY


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint is, known without building it."""

    path: Path
    bytes: int
    family: str
    parameters: Any  # the family's Parameters
    assumed: Mapping[str, str]  # what no tensor tells: name → where its value comes from
    known_as: str | None  # its name in the catalogue
    tensors: int
    weights: int
    dtype: str
    dropped: tuple[str, ...]  # left out: only training needs it
    lacks: tuple[str, ...] = ()  # what is not done because a file is missing

    def __str__(self) -> str:
        values = dataclasses.asdict(self.parameters)
        lines = [
            f"{self.path.name}: {self.family}"
            + (f", known as {self.known_as}" if self.known_as else ""),
            (
                f"  {self.bytes / 1e6:.1f} MB, {self.tensors} tensors, {self.weights / 1e6:.2f} M"
                f" weights in {self.dtype}"
            ),
            "  from the tensors: "
            + ", ".join(f"{n} {_short(v)}" for n, v in values.items() if n not in self.assumed),
            "  no tensor tells:  "
            + (
                ", ".join(f"{n} {_short(values[n])} ({why})" for n, why in self.assumed.items())
                or "nothing"
            ),
        ]
        if self.dropped:
            lines.append("  left out, only training needs it: " + listed(self.dropped))
        lines += [f"  {what}" for what in self.lacks]
        return shown("\n".join(lines), A_REPORT, lines=True)


def _short(value: Any) -> str:
    return (
        "/".join(_short(v) for v in value.values())
        if is_table(value)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def file_sets() -> list[Files]:
    """The checkpoints that are several files."""
    return [kind.files for kind in map(family, FAMILIES) if kind.files]


def open_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint's file, or all the files of one that is several: from any of them, or from
    their folder. Raises CheckpointError.
    """
    sets = file_sets()
    if os.path.isdir(path):
        whole = next(filter(None, (gather(path, files) for files in sets)), None)
        return whole or read(path)
    checkpoint = _laid_open(read(path))
    for files in sets:
        if files.which(checkpoint.tensors):
            return gather(path, files) or checkpoint
    return checkpoint


def _laid_open(checkpoint: Checkpoint) -> Checkpoint:
    """The same, where the model is inside other dictionaries: as if it were not."""
    if checkpoint.metadata.get("format") == FORMAT:
        return checkpoint
    kinds = [family(name) for name in FAMILIES]
    inside = unwrapped(checkpoint.tensors, lambda found: any(_is_of(k, found) for k in kinds))
    if inside is None:
        return checkpoint
    return dataclasses.replace(
        checkpoint, tensors=inside.tensors, place=inside.place, beside=inside.beside
    )


def _is_of(kind: Family, tensors: Mapping[str, Tensor]) -> bool:
    """Whether they are a family's, and those that it is configured by are there."""
    with suppress(Exception):  # whatever shapes that are none of its own make it raise
        return kind.recognise(tensors) and bool(kind.files or kind.configure(tensors))
    return False


def recognise(checkpoint: Checkpoint) -> Family:
    """Whose tensors these are. Raises UnknownCheckpoint."""
    if checkpoint.metadata.get("format") == FORMAT:
        return _own_family(checkpoint)
    for name in FAMILIES:
        if family(name).recognise(checkpoint.tensors):
            return family(name)
    learned = [family(name) for name in FAMILIES if name not in (DEFAULT, PARTNER)]
    half = half_of(checkpoint.tensors, learned)
    if half:
        raise UnknownCheckpoint(f"{checkpoint.path.name} holds {half}.")
    first = ", ".join(shown(name) for name in list(checkpoint.tensors)[:3])
    raise UnknownCheckpoint(
        f"{checkpoint.path.name} is not a checkpoint I know: it holds {len(checkpoint.tensors)}"
        f" tensors, the first {first}. I know {', '.join(kind.name for kind in learned)}."
    )


def _own_family(checkpoint: Checkpoint) -> Family:
    name = checkpoint.metadata.get("family", "")
    if name == PARTNER:
        raise UnknownCheckpoint(
            f"{checkpoint.path.name} says it is a model of the family {PARTNER}, which has no"
            f" weights: name {PARTNER} itself."
        )
    if name not in FAMILIES:
        raise UnknownCheckpoint(
            f"{checkpoint.path.name} says it is a model of the family {shown(name)!r}, which this"
            f" version does not have; it has {', '.join(FAMILIES)}."
        )
    return family(name)


def build(name: str, **values: Any) -> MotionModel:
    """An untrained model: the family's published parameters with `values` replaced.

    What training starts from.
    """
    kind = family(name)
    return _with_finder(kind.model(parameters(kind, **values)).eval())


def _with_finder(model: MotionModel, known_as: str | None = None) -> MotionModel:
    """A model that is shown heads finds them by the networks that come with the pack."""
    if model.level or (not model.any_size and catalogue.for_faces(known_as)):
        model.finder = face_finder
    return model


@lru_cache
def face_finder() -> Any:
    """Who finds faces, on the CPU: networks.face, from the bundled models."""
    finder = importlib.import_module(".networks.face.finder", __package__)
    networks = finder.FaceNetworks().eval().requires_grad_(False)
    networks.load_state_dict(read(catalogue.bundled()["face"]).tensors)
    return finder.FaceFinder(networks)


def inspect(path: str | Path, **overrides: Any) -> Inspection:
    """What the file is, without building it. Raises CheckpointError."""
    return inspected(open_checkpoint(Path(path)), overrides)


def inspected(checkpoint: Checkpoint, overrides: Mapping[str, Any]) -> Inspection:
    kind = recognise(checkpoint)
    known = catalogue.preset_of(checkpoint.files, kind.name)  # reads all of the file, so once
    spec, assumed = configure(checkpoint, kind, overrides, known)
    return Inspection(
        path=checkpoint.path,
        bytes=sum(file.stat().st_size for file in checkpoint.files),
        family=kind.name,
        parameters=spec,
        assumed=assumed,
        known_as=known[1],
        tensors=len(checkpoint.tensors),
        weights=sum(tensor.numel() for tensor in checkpoint.tensors.values()),
        dtype=", ".join(
            sorted(
                {
                    str(t.dtype).removeprefix("torch.")
                    for t in checkpoint.tensors.values()
                    if t.is_floating_point()
                }
            )
        ),
        dropped=checkpoint.dropped,
        lacks=_lacks(checkpoint, kind),
    )


def _lacks(checkpoint: Checkpoint, kind: Family) -> tuple[str, ...]:
    """What is not done because a file that may be missing is."""
    there = {name.partition(".")[0] for name in checkpoint.tensors}
    optional: Mapping[str, str] = kind.files.optional if kind.files else {}
    return tuple(
        f"{name} is missing: {what}" for name, what in optional.items() if name not in there
    )


def load(
    path: str | Path | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    speed: str = "exact",
    **overrides: Any,
) -> MotionModel:
    """A model ready to use: the default when `path` is None, else a checkpoint file or a known name
    ("fomm-vox-256").

    `device` None takes a GPU where there is one, and one that is not here is an InputError that
    names those that are; `dtype` None is float32. `speed` "exact" is the
    network as published; "float32", "bfloat16" and "float16" are `optimise`'s modes, which cast
    what may be cast (so no `dtype` with them). What no tensor tells (`align_corners`,
    `head_padding`, ...) can be given over the preset. `model.inspection` says what was recognised
    and assumed. Raises CheckpointError, InputError.
    """
    if speed not in SPEEDS or (speed != EXACT and dtype not in (None, torch.float32)):
        raise InputError(
            f"speed is one of {', '.join(SPEEDS)}, the others than {EXACT} with no dtype; it is"
            f" {speed!r} with {dtype}."
        )
    device = device_of(device)
    name = DEFAULT if path is None else path
    if str(name) == PARTNER:
        return _ready(build(PARTNER, **overrides), device, dtype, speed)
    checkpoint = open_checkpoint(resolve(name))
    found = inspected(checkpoint, overrides)
    model = without_storage(found, checkpoint.path.name)
    tensors = renamed(checkpoint, family(found.family))
    tensors = belonging(model, tensors, checkpoint)
    check_numbers(tensors, checkpoint.path.name)
    fill(model, tensors, checkpoint.path.name)
    model.inspection = found
    for what in found.lacks:
        logger().warning("%s: %s.", found.path.name, what)
    if hasattr(model, "partners"):
        cast(Any, model).partners = (build(PARTNER).to(device),)
    return _ready(_with_finder(model, found.known_as), device, dtype, speed)


def _ready(
    model: MotionModel, device: torch.device, dtype: torch.dtype | None, speed: str
) -> MotionModel:
    """On its device, in its dtype, as fast as asked."""
    model = model.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)
    return model if speed == EXACT else optimise(model, speed)


def without_storage(found: Inspection, name: str) -> MotionModel:
    with (
        boundary(CheckpointError, f"{name} describes no network that could be built ({{reason}})."),
        torch.device("meta"),
    ):
        return family(found.family).model(found.parameters)


def renamed(checkpoint: Checkpoint, kind: Family) -> dict[str, Tensor]:
    """The tensors by the names of the module here."""
    if checkpoint.metadata.get("format") == FORMAT:
        return dict(checkpoint.tensors)
    with boundary(CheckpointError, f"{checkpoint.path.name} is incomplete ({{reason}})."):
        return kind.rename(dict(checkpoint.tensors))


def belonging(
    model: MotionModel, tensors: dict[str, Tensor], checkpoint: Checkpoint
) -> dict[str, Tensor]:
    """Those of the model. What else the file holds (an EMA copy, a loss's network) is told of."""
    wanted, name = model.state_dict().keys(), checkpoint.path.name
    if checkpoint.beside:
        logger().warning(
            "%s: the model was taken from %s; what lies beside it is left out (%s).",
            name,
            shown(checkpoint.place),
            listed(checkpoint.beside, 4),
        )
    others = [key for key in tensors if key not in wanted]
    if others:
        logger().warning(
            "%s: %d tensors that the %s model has no use for are left out (%s).",
            name,
            len(others),
            model.family,
            groups(others, wanted),
        )
    return {key: tensor for key, tensor in tensors.items() if key in wanted}


def fill(model: MotionModel, tensors: Mapping[str, Tensor], name: str) -> None:
    """Give a model built without storage its tensors, every one and no other.

    Raises CheckpointError.
    """
    wanted = model.state_dict()
    counters = {
        key: torch.tensor(0)
        for key in wanted
        if key.endswith("num_batches_tracked") and key not in tensors
    }
    tensors = {**tensors, **counters}  # old files lack these counters, which only training reads
    missing = [key for key in wanted if key not in tensors]
    foreign = [key for key in tensors if key not in wanted]
    shaped = [key for key in wanted if key in tensors and tensors[key].shape != wanted[key].shape]
    files = family(model.family).files
    if files and (shaped or missing or foreign):
        _refuse_mixed(name, files, [*shaped, *missing, *foreign])
    for what, keys in (
        ("lacks", missing),
        ("has, besides what belongs there,", foreign),
        ("has, of an unexpected shape,", shaped),
    ):
        if keys:
            first = shown(keys[0])
            if keys is shaped:
                first += f" ({tuple(tensors[keys[0]].shape)} for {tuple(wanted[keys[0]].shape)})"
            raise CheckpointError(
                f"{name} is a {model.family} checkpoint but {what} {len(keys)} tensors, the first"
                f" {first}; it is damaged, or of a variant that was never published."
            )
    model.load_state_dict(dict(tensors), strict=True, assign=True)


def _refuse_mixed(name: str, files: Files, keys: list[str]) -> None:
    """Raises CheckpointError for tensors of several files that do not fit one another."""
    members = dict.fromkeys(
        member for member in files.names for key in keys if key.startswith(f"{member}.")
    )
    if members:
        raise CheckpointError(
            f"{name}: {', '.join(members)} of the {files.title} files do not fit the others"
            f" ({len(keys)} tensors, the first {shown(keys[0])}); they are of two sets, or one is"
            f" damaged. Take all {len(files.names)} from one set."
        )


def resolve(path: str | Path) -> Path:
    """A file as it is named, or the installed file of a known name.

    Raises CheckpointError, which says where it was looked for.
    """
    if Path(path).exists():
        return Path(path)
    found = catalogue.find(str(path))
    if found:
        return found
    entry = catalogue.by_name(str(path))
    if str(path) == "puppets":
        raise CheckpointError(
            "The model puppets is no more: face finds faces and moves them, and the drawings that"
            " puppets learned from train any family (docs/training.md)."
        )
    if entry is None:
        return Path(path)  # read() says what is wrong with it
    looked = ", ".join(str(folder) for folder in catalogue.search_paths()) or "no folder"
    raise CheckpointError(
        f"{entry.name} is known but not installed (looked for {entry.files[0]} in {looked}); its"
        " card in models/ says where it is published."
    )
