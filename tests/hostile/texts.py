"""Documents that mean harm: whole ones, as the pack writes them, with something else in a place."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import comfyui_motion as motion
from comfyui_motion.media.exr import write_plain_exr
from comfyui_motion.networks.face.keypoints import FaceKeypoints
from comfyui_motion.posed import PosedKeypoints

EDITS = json.dumps(
    {
        "format": "comfyui_motion.edits",
        "version": 1,
        "keys": {"1": {"0": [0.1, 0.2], "7": [0.3, -0.2]}, "3": {"2": [0, 0]}},
        "pinned": [2],
        "locked": [4],
    }
)
POSES = json.dumps(
    {
        "format": "comfyui_motion.poses",
        "version": 1,
        "keys": {"0": {"yaw": 3.0, "smile": 0.5}, "12": {"blink": 1}},
        "saved": {"a name": {"pitch": -4}},
    }
)


def raw(text: str) -> Any:
    """Numbers that JSON can say and Python's writer does not."""
    return {"raw": text}


PUT: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**6, 10**12, 10**400, 1e308, float("nan"), float("inf")),
    *("", "x", "\x1b[2J<b>", "../../etc/passwd", "%s%s%s", "%09999999d", "%(x)s", "nan", "٣"),
    *("a" * 10_000, "9" * 5000, [], {}, [[]], [[[]]], [None], {"": None}, {"x": {"x": {"x": 1}}}),
)


def altered(whole: bytes, chance: random.Random) -> bytes:
    """JSON in which one to three places hold something else, are gone or are many; or is deep."""
    document = json.loads(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            break
        holder, key = chance.choice(places)
        _alter(holder, key, chance)
    text = json.dumps(document)
    if chance.random() < 0.03:
        deep = chance.choice((500, 50_000))
        text = text.replace("null", "[" * deep + "]" * deep, 1)
    return text.encode()


def _alter(holder: Any, key: Any, chance: random.Random) -> None:
    kind = chance.random()
    if kind < 0.15:
        del holder[key]
    elif kind < 0.25 and isinstance(holder, dict) and isinstance(key, str):
        holder[chance.choice(("x", "-1", "9" * 30, "1e3", "<b>", ""))] = holder.pop(key)
    elif kind < 0.3 and isinstance(holder, list):
        holder[key:key] = [holder[key]] * chance.choice((1, 1000))
    else:
        holder[key] = chance.choice(PUT)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside, as what holds it and its key there: of long lists the first."""
    inside = document.items() if isinstance(document, dict) else enumerate(document[:4])
    for key, value in inside:
        yield document, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def keypoints() -> Iterator[str]:
    """Of every kind that is written."""
    torch.manual_seed(0)
    yield motion.Keypoints(torch.rand(2, 3, 2), torch.rand(2, 3, 2, 2)).to_json()
    posed = PosedKeypoints.placed(
        canonical=torch.rand(1, 5, 3),
        expression=torch.rand(2, 5, 3),
        rotation=torch.rand(2, 3),
        scale=torch.ones(2),
        translation=torch.zeros(2, 3),
    )
    yield posed.to_json()
    faces = FaceKeypoints.placed(
        torch.rand(2, 478, 3) * 100,
        torch.full((2, 2), 100.0),
        confidence=torch.ones(2, 478),
        mouth=torch.zeros(2, 4, 8, 8),
    )
    yield faces.to_json()


def maps(folder: Path) -> Iterator[tuple[str, bytes]]:
    """STMaps: EXR by FFmpeg, by OpenEXR where it is there, and what passes were written."""
    field = motion.MotionField.identity(2, 9, 7)
    plane = torch.rand(9, 7).numpy()
    write_plain_exr(folder / "plain.exr", dict.fromkeys("RGB", plane))
    yield "plain.exr", (folder / "plain.exr").read_bytes()
    motion.write_passes(folder / "passes", field, name="p", start=1)
    exr = sorted((folder / "passes").glob("*.exr"))[0]
    yield "passes.exr", exr.read_bytes()


def sidecar(folder: Path) -> tuple[str, bytes]:
    (path,) = (folder / "passes").glob("*.json")
    return f"passes/{path.name}", path.read_bytes()
