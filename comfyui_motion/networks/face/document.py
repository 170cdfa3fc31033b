"""Keypoints of a face as a document: numbers packed in base64, for there are many; positions as
plain numbers where it is for hands.

What was seen of mouth and skin is kept in small whole numbers; the driver at rest once for each
shot of its clip.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...doors.limits import how_to_raise, limits
from ...errors import InputError, boundary
from ...keypoints import FARTHEST, FORMAT, rounded
from ...shapes import as_lists, check_shapes
from .keypoints import FaceKeypoints

VERSION = 3  # of the documents that hold a face mesh
STEPS = {"mouth": 127.0, "light": 100.0}  # of which one is 1: what is seen is kept no finer


def written(keypoints: FaceKeypoints, decimals: int | None = None) -> dict[str, Any]:
    """Positions rounded to so many decimals, to be edited; None: packed, to the bit."""
    assert keypoints.confidence is not None  # who sees a face says how surely
    document = {
        "format": FORMAT,
        "version": VERSION,
        "frames": len(keypoints),
        "position": _packed(keypoints.position, torch.float32)
        if decimals is None
        else rounded(as_lists(keypoints.position), decimals),
        "depth": _packed(keypoints.depth, torch.float32),
        "confidence": [round(float(c), 4) for c in keypoints.confidence.amax(1)],
        "size": keypoints.size.tolist(),
    }
    for name, steps in STEPS.items():
        value = getattr(keypoints, name)
        if value is not None:
            shape = list(value.shape[1:])
            document[name] = {"shape": shape, "bytes": _packed(value * steps, torch.int8)}
    if keypoints.rest is not None:
        rests, shots = keypoints.rest.unique(dim=0, return_inverse=True)
        document["rest"] = {
            "count": len(rests),
            "of": shots.tolist(),
            "bytes": _packed(rests, torch.float32),
        }
    return document


def read(document: Mapping[str, Any]) -> FaceKeypoints:
    """What was `written`. Raises InputError."""
    damaged = "These keypoints of a face are damaged ({reason}): paste what was written, whole."
    with boundary(InputError, damaged):
        frames = int(document["frames"])
        sure = torch.tensor(document["confidence"], dtype=torch.float32)
        size = torch.tensor(document["size"], dtype=torch.float32)
        if size.shape != (frames, 2) or sure.shape != (frames,) or not (size > 0).all():
            raise ValueError("sizes or confidences are not one a frame")
        if frames > limits().frames:
            raise ValueError(f"{frames} frames: {how_to_raise('frames', frames)}")
        position, depth = (
            _numbers(document[name], (frames, 478, axes))
            for name, axes in (("position", 2), ("depth", 1))
        )
        looks = {
            name: _unpacked(part["bytes"], torch.int8, (frames, *map(int, part["shape"]))).float()
            / STEPS[name]
            for name, part in document.items()
            if name in STEPS
        }
        rest = _rest(document["rest"], frames) if "rest" in document else None
    numbers = (position, depth, sure, size, *([] if rest is None else [rest]))
    if not all(bool((n.abs() <= FARTHEST).all()) for n in numbers):
        raise InputError("These keypoints of a face hold numbers that are not finite.")
    told = {"position": position, "depth": depth[..., 0], "size": size, **looks}
    told["confidence"] = sure[:, None].expand(-1, 478)
    if rest is not None:
        told["rest"] = rest
    check_shapes(told, FaceKeypoints.shapes)
    return FaceKeypoints(**told)


def _rest(part: Mapping[str, Any], frames: int) -> Tensor:
    """B 478 3. Raises ValueError."""
    count, shots = int(part["count"]), torch.tensor(part["of"], dtype=torch.long)
    if shots.shape != (frames,) or not 0 < count <= frames:
        raise ValueError("it is not told what is at rest in each frame's shot")
    if not bool(((shots >= 0) & (shots < count)).all()):
        raise ValueError("a shot is named that is not there")
    return _unpacked(part["bytes"], torch.float32, (count, 478, 3))[shots]


def _numbers(given: Any, shape: tuple[int, ...]) -> Tensor:
    """Packed, or as lists. Raises ValueError."""
    if isinstance(given, str):
        return _unpacked(given, torch.float32, shape)
    numbers = torch.tensor(given, dtype=torch.float32)
    if numbers.shape != shape:
        raise ValueError(f"there are {tuple(numbers.shape)} numbers and not {shape}")
    return numbers


def _packed(values: Tensor, kind: torch.dtype) -> str:
    if not kind.is_floating_point:
        values = values.round().clamp(-128, 127)
    plain = values.detach().cpu().to(kind).contiguous().numpy().tobytes()
    return base64.b64encode(zlib.compress(plain, 9)).decode()


def _unpacked(text: str, kind: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Raises ValueError where it is not as long as that."""
    count = math.prod(shape) * kind.itemsize
    opened = zlib.decompressobj()
    if not 0 <= count <= max(limits().unpacked, 4 * len(text)):
        raise ValueError(f"numbers of {count} bytes: {how_to_raise('unpacked', count)}")
    plain = opened.decompress(base64.b64decode(text, validate=True), count + 1)
    if len(plain) != count:
        raise ValueError("a list of numbers is too short or too long")
    return torch.frombuffer(bytearray(plain), dtype=kind).reshape(shape)
