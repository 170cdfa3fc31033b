"""Maps from files: a field back from an STMap, ours or another program's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..doors.documents import is_table
from ..doors.limits import limits
from ..errors import InputError, MediaError
from ..field import MotionField
from ..fields.stmap import from_stmap
from ..media.exr import read_exr
from ..media.files import existing_file
from ..media.naming import natural
from ..media.picture import read_pixels
from .write import FORMAT

MAPS = (".exr", ".png", ".tif", ".tiff")
CLIP_OF_MAPS = (".exr", ".json")  # by which a command or a node knows maps from films
MOST = 10_000_000  # frames of a clip
FINEST_HALF = 1024  # pixels that half floats can tell apart across a map


@dataclass(frozen=True)
class Reading:
    """How a map is told: what its sidecar says, or the caller."""

    layer: str | None = None
    v: str = "up"
    order: str = "xy"
    size: tuple[int, int] | None = None


def read_stmap(
    path: str | os.PathLike[str],
    layer: str | None = None,
    v: str | None = None,
    order: str = "xy",
    size: tuple[int, int] | None = None,
) -> MotionField:
    """The field of an STMap, one frame for each picture.

    path   an EXR or a 16-bit PNG or TIFF, a folder of them, a pattern (maps.%04d.exr, maps.*.exr),
           or the sidecar that `write_passes` left
    layer  of an EXR with layers; None: stmap where there is one, else R and G
    v      "up" or "down"; None: what the sidecar beside it says, else up
    order  "xy", or "yx" where red is the vertical coordinate
    size   (height, width) of the source that the map is for; None: the map's own

    Alpha is what is visible; without it all is that is a number. MediaError for what is missing,
    cut off, too coarse, or holds no map.
    """
    paths, about = _found(Path(path))
    if v is None:
        v = str(about.get("v", "up"))
    reading = Reading(layer, v, order, size)
    fields: list[MotionField] = []
    for each in paths:
        fields.append(_read(each, reading))
        if fields[0].size != fields[-1].size:
            raise MediaError(
                f"{each} is {_size(fields[-1])}, where {paths[0].name} is {_size(fields[0])}: the"
                " maps of a clip have one size."
            )
    if len({bool(field.occlusion) for field in fields}) > 1:
        raise MediaError(f"Some maps of {path} have an alpha and some have none.")
    return MotionField.join(fields)


def _size(field: MotionField) -> str:
    return f"{field.size[1]}x{field.size[0]}"


def _found(path: Path) -> tuple[list[Path], Mapping[str, Any]]:
    """The maps that a path stands for, in order, and what their sidecar says."""
    if path.suffix.lower() == ".json":
        return _of_sidecar(path)
    if path.is_dir():
        sidecars = [p for p in sorted(path.glob("*.json")) if _about(p)]
        if len(sidecars) == 1:
            return _of_sidecar(sidecars[0])
        if sidecars:
            names = ", ".join(p.name for p in sidecars)
            raise InputError(f"{path} holds several sets of passes ({names}); name one of them.")
        found = [p for p in path.iterdir() if p.suffix.lower() in MAPS and p.name[0] != "."]
    elif re.search(r"%0?\d*d|[*?]", path.name):
        found = list(path.parent.glob(re.sub(r"%0?\d*d", "*", path.name)))
    else:
        found = [existing_file(path, "an STMap")]
    if not found:
        raise MediaError(
            f"{path} stands for no maps: EXR, or PNG and TIFF of 16 bits, were expected."
        )
    found = sorted(found, key=natural)
    beside = found[0].with_name(found[0].name.split(".")[0] + ".json")
    return found, _about(beside)


def _of_sidecar(path: Path) -> tuple[list[Path], Mapping[str, Any]]:
    about = _about(existing_file(path, "a sidecar of passes"))
    files = about.get("files")
    told = files.items() if is_table(files) else ()
    patterns = [p for p, channels in told if isinstance(channels, list) and "stmap.R" in channels]
    if not patterns:
        raise MediaError(
            f"{path} tells of no STMap: it is no sidecar of passes, or has no such pass. Name the"
            " maps themselves, as in maps.%04d.exr."
        )
    first, last = about.get("first"), about.get("last")
    if (
        not isinstance(first, int)
        or not isinstance(last, int)
        or not 0 <= last - first < MOST
        or not re.fullmatch(r"[^/\\%]+%04d\.\w+", patterns[0])
    ):
        raise MediaError(
            f"{path} is damaged: it does not tell names and numbers of its files; name the maps"
            " themselves, as in maps.%04d.exr."
        )
    found: list[Path] = []
    for number in range(first, last + 1):
        found.append(path.parent / (patterns[0] % number))
        if not found[-1].exists():
            raise MediaError(
                f"{path} tells of {found[-1].name}, which is not there; put it beside the others,"
                " or name those that are, as in maps.%04d.exr."
            )
    return found, about


def _about(path: Path) -> Mapping[str, Any]:
    """A sidecar's content; nothing where there is none."""
    try:
        if not path.is_file() or path.stat().st_size > limits().text:
            return {}
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return about if is_table(about) and about.get("format") == FORMAT else {}


def _read(path: Path, reading: Reading) -> MotionField:
    planes = read_exr(path) if path.suffix.lower() == ".exr" else _png(path)
    position, alpha = _chosen(path, planes, reading.layer)
    half = position[0].dtype == np.float16 or position[1].dtype == np.float16
    if half and max(position[0].shape) > FINEST_HALF:
        raise MediaError(
            f"{path} is a map of {position[0].shape[1]} pixels in half floats, which cannot tell"
            f" more than {FINEST_HALF} apart: write it again as 32-bit float."
        )
    maps = torch.stack([_tensor(plane) for plane in position])[None]
    visible = None if alpha is None else _tensor(alpha)[None, None]
    del planes, position, alpha  # large maps are dear
    return from_stmap(maps, visible, reading.v, reading.order, reading.size)


def _tensor(plane: Any) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(plane, np.float32))


def _chosen(path: Path, planes: Mapping[str, Any], layer: str | None) -> tuple[list[Any], Any]:
    """The two planes of the position, and the alpha or None."""
    prefixes = [f"{layer}."] if layer else ["stmap.", "STMap.", "uv.", "UV.", ""]
    for prefix in prefixes:
        for first, second in (
            ("R", "G"),
            ("u", "v"),
            ("U", "V"),
            ("red", "green"),
            ("x", "y"),
            ("X", "Y"),
        ):
            if f"{prefix}{first}" in planes and f"{prefix}{second}" in planes:
                position = [planes[f"{prefix}{first}"], planes[f"{prefix}{second}"]]
                alpha = planes.get(f"{prefix}A", planes.get(f"{prefix}alpha"))
                return position, alpha
    wanted = (
        f"a layer {layer} with R and G" if layer else "an STMap (stmap.R and stmap.G, or R and G)"
    )
    raise MediaError(
        f"{path} holds {', '.join(planes)}, where {wanted} was expected; name the layer that is it."
    )


def _png(path: Path) -> dict[str, Any]:
    pixels = read_pixels(path)[0]  # C H W
    if pixels.dtype == torch.uint8:
        raise MediaError(
            f"{path} has 8 bits, which cannot tell more than 256 pixels apart: a map is an EXR of"
            " 32-bit floats, or at least a PNG of 16 bits."
        )
    if len(pixels) < 3:
        raise MediaError(f"{path} is grey, and a map has red and green.")
    scale = 1 if pixels.is_floating_point() else 65535
    return dict(zip("RGBA", pixels.float().div(scale).numpy(), strict=False))
