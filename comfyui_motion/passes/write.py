"""Passes to files: a frame at a time, in memory that does not grow with the clip."""

# pyright: reportUnnecessaryIsInstance=false
# callers without types are told in a sentence what they gave

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, MediaError
from ..field import MotionField, check_field
from ..fields.follow import Frame
from ..media.clip import as_rate
from ..media.exr import Layer, has_openexr, write_exr, write_plain_exr
from ..media.files import cannot_read, made_folder, writing, written_whole
from ..media.picture import check_picture, save_pixels
from .maps import PASSES, PICTURES, VECTORS, Form, Moment, layer
from .options import FORMATS, Options, check_given

FORMAT, VERSION = "comfyui_motion.passes", 1
log = logging.getLogger("comfyui_motion")


def write_passes(
    folder: str | os.PathLike[str],
    field: MotionField | Iterable[MotionField],
    frames: Tensor | Iterable[Tensor] | None = None,
    *,
    plate: Tensor | None = None,
    mattes: Mapping[str, Tensor] | None = None,
    passes: Sequence[str] | None = None,
    name: str = "motion",
    start: int = 1001,
    fps: Fraction | float = 25,
    size: tuple[int, int] | None = None,
    v: str = "up",
    colour: str = "linear",
    reach: float | None = None,
    format: str = "exr",
    one_file_a_pass: bool = False,
    overwrite: bool = False,
    progress: Any = None,
) -> list[Path]:
    """Write what compositors want of a field: the files, the sidecar last.

    field     the motion, or batches of it, streamed
    frames    the pictures of pass "beauty": B C H W in 0..1, or batches as the field's; their
              alpha straight
    plate     1 C H W or B C H W: the pass of that name
    mattes    by part: 1 h w or B h w in 0..1; each a pass of its own name
    passes    some of beauty, plate, stmap, forward, backward, occlusion, mattes; None: all there is
    name, start   files are name.1001.exr and so on; `start` is the first number
    size      (height, width); None: the frames', or those of the field's picture, or its own
    v         "up" as in Nuke, Fusion, Blender, RE:Vision; "down" as in pictures
    colour    pictures in EXR: "linear", or "srgb" as they are
    reach     vectors as 0.5 + vector / (2 reach), for tools of 8 and 16 bits; None: in pixels
    format    "exr"; "png16", "png8": a file a pass, vectors with a reach
    one_file_a_pass  name.stmap.1001.exr and so on; without the package OpenEXR it is always so
    overwrite replace files of that name; else InputError where there are any
    progress  called with (frames done, frames in all or None)

    stmap: R G, where in the source to read, 0..1 from edge to edge, pixel i of W at (i + 0.5) / W;
    A = visible. forward, backward: u v, where the point is in the next and the previous frame less
    where it is here, in pixels; A = known, 0 where it is not. occlusion: A, 1 = hidden. Every file
    appears when it is whole. MediaError where one cannot be written.
    """
    check_given(field, frames, plate, mattes)
    form = Form(v, colour, reach)
    options = Options(passes, name, start, fps, size, format, one_file_a_pass, form, overwrite)
    total = len(field) if isinstance(field, MotionField) else None
    with PassWriter(folder, options) as writer:
        for fields, pictures in _batches(field, frames):
            shown = {"beauty": pictures} if pictures is not None else {}
            if plate is not None:
                shown["plate"] = _part(plate, writer.count, len(fields))
            parts = {n: _part(m, writer.count, len(fields)) for n, m in (mattes or {}).items()}
            writer.write(fields, shown, parts)
            if progress:
                progress(writer.count, total)
    return writer.files


def _batches(
    field: MotionField | Iterable[MotionField], frames: Tensor | Iterable[Tensor] | None
) -> Iterator[tuple[MotionField, Tensor | None]]:
    fields = (field[i] for i in range(len(field))) if isinstance(field, MotionField) else field
    if frames is None:
        yield from ((check_field(part), None) for part in fields)
        return
    pictures = _singles(frames)
    for part in map(check_field, fields):
        held = [picture for _, picture in zip(range(len(part)), pictures, strict=False)]
        if len(held) < len(part):
            raise InputError("There are fewer frames than the field has; give one for each.")
        yield part, torch.cat(held)
    if next(pictures, None) is not None:
        raise InputError("There are more frames than the field has; give one for each.")


def _singles(frames: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    for batch in [frames] if isinstance(frames, Tensor) else frames:
        if not isinstance(batch, Tensor):
            raise InputError(
                f"frames are tensors B C H W in 0..1, or batches of them, not"
                f" {type(batch).__name__}."
            )
        yield from torch.split(batch, 1)


def _part(maps: Tensor, done: int, count: int) -> Tensor:
    if len(maps) == 1:
        return maps.expand(count, *maps.shape[1:])
    if len(maps) < done + count:
        raise InputError(
            f"A plate or matte has {len(maps)} pictures, and the field more frames; give one for"
            " all or one for each."
        )
    return maps[done : done + count]


class PassWriter:
    """Writes batches of a field and its pictures as passes. Use it in a `with` block.

    A frame waits until the next has come, since its forward vectors lead there.
    """

    def __init__(self, folder: str | os.PathLike[str], options: Options) -> None:
        self.folder, self.options = Path(folder), options
        self.count = 0
        self.files: list[Path] = []
        self._written = 0
        self._new = False  # whether the folder was made here
        self.size: tuple[int, int] | None = options.size
        self._form = options.form
        if options.format != "exr":  # PNG pictures are coded for screens, their alpha straight
            self._form = replace(options.form, colour="srgb", premultiplied=False)
        self.layout: dict[str, list[str]] = {}
        self._waiting: Moment | None = None
        self._before: Moment | None = None
        self._mattes: list[str] = []

    def __enter__(self) -> PassWriter:
        self._new = not self.folder.exists()
        made_folder(self.folder)
        self._stale = self._there()
        sidecar = self.folder / f"{self.options.name}.json"
        there = [*self._stale, *([sidecar] if sidecar.exists() else [])]
        if there and not self.options.overwrite:
            raise InputError(
                f"{self.folder} already holds {there[0].name}: choose another folder or name,"
                " or let it overwrite."
            )
        if self.options.format == "exr" and not has_openexr():
            _say_once()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is not None:
            if self._new:
                with suppress(OSError):  # what is finished stays
                    self.folder.rmdir()
            return
        if self._waiting is not None:
            self._write(self._waiting, None)
        if not self.files:
            raise MediaError(f"No passes were written to {self.folder}: no frames came.")
        for path in self._stale:  # an older, longer run does not stick out behind the new one
            if path not in self.files:
                path.unlink(missing_ok=True)
        self._write_sidecar()

    def write(
        self,
        fields: MotionField,
        pictures: Mapping[str, Tensor],
        mattes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """The next frames: B C H W pictures by pass, B h w mattes by part."""
        mattes = mattes or {}
        self._check(fields, pictures, mattes)
        for i in range(len(fields)):
            moment = Moment(
                Frame.of(fields[i].to("cpu")),
                {name: _in_floats(shown[i]).cpu() for name, shown in pictures.items()},
                {name: matte[i].cpu() for name, matte in mattes.items()},
            )
            if self._waiting is not None:
                self._write(self._waiting, moment)
                self._before = self._waiting
            self._waiting = moment
            self.count += 1

    def _check(
        self, fields: MotionField, pictures: Mapping[str, Tensor], mattes: Mapping[str, Tensor]
    ) -> None:
        for shown in pictures.values():
            check_picture(shown)
        counts = {name: len(shown) for name, shown in (*pictures.items(), *mattes.items())}
        wrong = [name for name, count in counts.items() if count != len(fields)]
        if wrong:
            raise InputError(
                f"A field of {len(fields)} frames came with {counts[wrong[0]]} pictures of"
                f" {wrong[0]}."
            )
        odd = [name for name, matte in mattes.items() if matte.ndim != 3]
        if odd:
            raise InputError(
                f"A matte is B h w in 0..1, and {odd[0]} is"
                f" {' '.join(map(str, mattes[odd[0]].shape))}."
            )
        taken = [name for name in mattes if name in PASSES or not re.fullmatch(r"[\w-]+", name)]
        if taken:
            raise InputError(
                f"A matte is named by letters, digits, - and _, and not as a pass; {taken[0]!r}"
                " is no"
                " such name."
            )
        if self.size is None:
            first = pictures.get("beauty")
            self.size = fields.picture_size if first is None else (first.shape[-2], first.shape[-1])
        self._mattes = list(mattes)
        wanted = self.options.passes
        missing = [n for n in wanted or () if n in PICTURES and n not in pictures]
        if missing or wanted and "mattes" in wanted and not mattes:
            raise InputError(f"The pass {(missing or ['mattes'])[0]} was asked for, and not given.")

    def _names(self, now: Moment) -> list[str]:
        wanted = self.options.passes or PASSES
        names = [n for n in PASSES if n in wanted and (n not in PICTURES or n in now.pictures)]
        if "mattes" in names:
            names[names.index("mattes") :] = self._mattes
        return names

    def _write(self, now: Moment, after: Moment | None) -> None:
        assert self.size is not None
        number = self.options.start + self._written
        self._written += 1
        layers = (
            layer(name, now, self._before, after, self.size, self._form)
            for name in self._names(now)
        )
        if self.options.format == "exr" and has_openexr() and not self.options.one_file_a_pass:
            whole = [made.lossless() if _may_be_half(made.name) else made for made in layers]
            self._save(self._path(None, number, "exr"), whole)
            return
        for made in layers:
            self._save(self._path(made.name, number, self.options.format[:3]), [made])

    def _path(self, name: str | None, number: int, extension: str) -> Path:
        middle = f".{name}" if name else ""
        return self.folder / f"{self.options.name}{middle}.{number:04d}.{extension}"

    def _save(self, path: Path, layers: list[Layer]) -> None:
        bits = FORMATS[self.options.format]
        if bits < 32:
            save_png(path, layers[0], bits)
        elif has_openexr():
            write_exr(path, layers)
        else:
            write_plain_exr(path, _plain_planes(layers[0]))
        self.files.append(path)
        pattern = re.sub(r"\.\d+\.(\w+)$", r".%04d.\1", path.name)
        self.layout[pattern] = [name for made in layers for name in made.channels]

    def _there(self) -> list[Path]:
        """Files of this name that are there already, in order."""
        own = re.compile(rf"{re.escape(self.options.name)}(\.[\w-]+)?\.\d{{4,}}\.(exr|png)")
        try:
            found = [path for path in self.folder.iterdir() if own.fullmatch(path.name)]
        except OSError as error:
            raise cannot_read(self.folder, error) from error
        return sorted(found)

    def _write_sidecar(self) -> None:
        assert self.size is not None
        path = self.folder / f"{self.options.name}.json"
        with writing(path), written_whole(path) as partial:
            partial.write_text(json.dumps(self._about(), indent=1), encoding="utf-8")
        self.files.append(path)

    def _about(self) -> dict[str, Any]:
        options, (height, width) = self.options, self.size or (0, 0)
        rate = as_rate(options.fps)
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": options.name,
            "first": options.start,
            "last": options.start + self.count - 1,
            "rate": f"{rate.numerator}/{rate.denominator}",
            "width": width,
            "height": height,
            "files": self.layout,
            **asdict(self._form),
            "stmap": "position in the source, 0..1 from edge to edge, pixel i of n at (i + 0.5) /"
            " n",
            "vectors": "pixels, to the next (forward) and the previous (backward) frame"
            if options.form.reach is None
            else "0.5 + pixels / (2 reach)",
            "alpha": "stmap: 1 = visible in the source; vectors: 1 = known; occlusion: 1 = hidden",
        }


def _in_floats(picture: Tensor) -> Tensor:
    """Whole numbers as 0..1; floats as they are, beyond 1 too."""
    if picture.is_floating_point():
        return picture
    return picture.float() / (255 if picture.dtype == torch.uint8 else 65535)


def _may_be_half(name: str) -> bool:
    return name != "stmap" and name not in VECTORS


def _plain_planes(layer: Layer) -> dict[str, Any]:
    """A layer's planes under the plain names that any program reads."""
    planes = {name.split(".")[-1]: plane for name, plane in layer.channels.items()}
    if set(planes) == {"A"}:
        return {"Y": planes["A"]}
    first, second = (planes.get(n, planes.get(m)) for n, m in (("R", "u"), ("G", "v")))
    assert first is not None and second is not None
    plain = {"R": first, "G": second, "B": planes.get("B", np.zeros_like(first))}
    return plain | ({"A": planes["A"]} if "A" in planes else {})


def save_png(path: Path, layer: Layer, bits: int) -> None:
    """A layer's planes, cut off at 0 and 1. MediaError where it cannot be written."""
    top = 255 if bits == 8 else 65535
    planes = np.stack([np.asarray(plane) for plane in _plain_planes(layer).values()], axis=-1)
    pixels = np.rint(np.minimum(np.maximum(np.nan_to_num(planes), 0), 1) * top)
    with writing(path), written_whole(path) as partial:
        save_pixels(pixels.astype(np.uint8 if bits == 8 else np.uint16), partial)


_said: list[bool] = []


def _say_once() -> None:
    if not _said:
        _said.append(True)
        log.warning(
            "The package OpenEXR is not installed (pip install OpenEXR): passes are written one a"
            " file, without the names of layers."
        )
