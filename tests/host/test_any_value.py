"""Every output into every input of its type, values at and beyond each range, over all families: a
result, or a sentence.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.heads.acting import SMALL as HEADS

pytestmark = pytest.mark.host

HOURGLASS, WIDTHS = {"width": 4, "limit": 16, "depth": 2}, {"width": 4, "limit": 16}
BODY = {**WIDTHS, "downs": 2, "residuals": 1}
SMALL: dict[str, dict[str, Any]] = {
    "fomm": {
        "keypoints": 4,
        "jacobians": 4,
        "detector": HOURGLASS,
        "dense": HOURGLASS,
        "body": BODY,
        "size": 64,
    },
    "mraa": {
        "regions": 3,
        "detector": HOURGLASS,
        "flow": HOURGLASS,
        "background_encoder": HOURGLASS,
        "body": BODY,
        "avd": {"identity": 8, "pose": 6},
        "head_padding": 3,
        "size": 64,
    },
    "tpsmm": {
        "splines": 2,
        "dense": HOURGLASS,
        "inpainting": {**HOURGLASS, "depth": 3},
        "avd": {"identity": 8, "pose": 6},
        "size": 64,
    },
    "copart": {"parts": 3, "affines": 3, "segmentation": HOURGLASS, "body": BODY, "size": 64},
    "monkeynet": {
        "keypoints": 3,
        "detector": HOURGLASS,
        "dense": HOURGLASS,
        "generator": {**HOURGLASS, "depth": 3},
        "group_blocks": 1,
        "refinement": 1,
        "size": 64,
    },
    "x2face": {"width": 4, "limit": 16, "levels": 5, "bottleneck": 6, "size": 32},
    "flow": {"size": 64, "detail": 64, "lattice": 8},
    "liveportrait": HEADS,
    "face": {},  # as it comes with the pack
}
WHOLE = ("fomm", "liveportrait", "face")  # families over which widgets are tried too
POSES = '{"format": "comfyui_motion.poses", "version": 1, "keys": %s}'
EDITS = '{"format": "comfyui_motion.edits", "version": 1, %s}'
WORDS = (
    *("", "1", "0-3", "\x1b[2J<b>", "9" * 5000, "[" * 5000, "-1", "1-999999999", "nan", "٣", "{}"),
    *("../../../out", "%09999999d", "a" * 5000, "0:1e308", "0:(1e308), 99999999:(1)"),
    POSES % '{"999999": {"yaw": 1}}',
    POSES % '{"0": {"yaw": 1e400}}',
    POSES % '{"0": {"<b>": 1}}',
    POSES % '{"0": [], "x": 7}',
    EDITS % '"pinned": 7',
    EDITS % '"pinned": [true, null], "keys": []',
    EDITS % '"keys": {"0": {"0": [1e300, 0]}}',
    EDITS % '"keys": {"0": {"99999999": [0, 0]}}',
    EDITS % '"keys": {"0": {"0": [0, 0]}}, "locked": {"a": 1}',
    '{"format": "comfyui_motion.keypoints", "version": 2, "canonical": 1}',
    '{"format": "comfyui_motion.keypoints", "version": 3, "position": [[[0, 0, 0]]]}',
)


@dataclass
class Pack:
    """The loaded pack: its node classes, its library, and values to put into sockets."""

    nodes: dict[str, Any]
    library: ModuleType
    hosted: Any
    pool: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)

    def add(self, kind: str, name: str, value: Any) -> None:
        if value is not None:
            self.pool.setdefault(kind, []).append((name, value))

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.library.__name__}.{name}")

    def run(self, node_id: str, inputs: dict[str, Any]) -> tuple[Any, ...]:
        from comfy_api.latest import io

        node = self.nodes[node_id]
        hidden = dict.fromkeys(io.Hidden, None)
        clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": hidden})
        return tuple(clone.execute(**inputs).args)


@pytest.fixture(scope="module")
def pack(host) -> Pack:
    nodes = {n: c for n, c in host.nodes.NODE_CLASS_MAPPINGS.items() if n.startswith("CM_")}
    root = next(iter(nodes.values())).__module__.rsplit(".nodes.", 1)[0]
    library = sys.modules[f"{root}.comfyui_motion"]
    hosted = sys.modules[f"{root}.nodes.host"].HostedModel
    found = Pack(nodes, library, hosted)
    torch.manual_seed(0)
    fill(found)
    return found


def fill(pack: Pack) -> None:
    """Values of every type, out of every family's own graph."""
    for name, (count, height, width, channels) in {
        "picture": (1, 40, 56, 3),
        "clip": (3, 48, 32, 3),
        "alpha": (3, 33, 41, 4),
        "gray": (1, 9, 7, 1),
        "dot": (1, 1, 1, 3),
    }.items():
        pack.add("IMAGE", name, torch.rand(count, height, width, channels))
    pack.add("IMAGE", "not a number", torch.full((2, 20, 20, 3), math.nan))
    pack.add("IMAGE", "none", torch.zeros(0, 20, 20, 3))
    pack.add("MASK", "mask", (torch.rand(1, 40, 56) > 0.5).float())
    pack.add("MASK", "masks", torch.rand(3, 48, 32))
    pack.add("MASK", "empty", torch.zeros(1, 64, 64))
    pack.add("MASK", "not a number", torch.full((1, 20, 20), math.nan))
    for name, size in {"latent": (1, 4, 5, 7), "latents": (3, 16, 6, 4)}.items():
        pack.add("LATENT", name, {"samples": torch.rand(size)})
    portrait, clip = sampled(pack)
    pack.add("IMAGE", "a face", portrait)
    pack.add("IMAGE", "a face that talks", clip)
    pack.add("VIDEO", "frames", host_film(clip))
    for family in SMALL:
        for kind, value in from_family(pack, family):
            pack.add(kind, family, value)
    keypoints = pack.library.Keypoints
    pack.add("CM_KEYPOINTS", "far away", keypoints(torch.full((3, 4, 2), 1e5)))
    pack.add("CM_KEYPOINTS", "not a number", keypoints(torch.full((3, 4, 2), math.nan)))
    pack.add("CM_KEYPOINTS", "one place", keypoints(torch.zeros(3, 4, 2), torch.zeros(3, 4, 2, 2)))


def sampled(pack: Pack) -> tuple[torch.Tensor, torch.Tensor]:
    """The pack's own picture and three frames of its clip, small."""
    picture, film = pack.run("CM_SampleMotion", {"picture": "source.png", "clip": "driving.mp4"})
    clip = film.get_components().images[:12:4]
    return smaller(picture), smaller(clip)


def smaller(images: torch.Tensor, longest: int = 160) -> torch.Tensor:
    scale = longest / max(images.shape[1:3])
    resized = torch.nn.functional.interpolate(
        images.movedim(-1, 1), scale_factor=scale, mode="area"
    )
    return resized.movedim(1, -1).contiguous()


def host_film(images: torch.Tensor) -> Any:
    from comfy_api.latest import InputImpl, Types

    return InputImpl.VideoFromComponents(Types.VideoComponents(images, Fraction(25), None))


def hosted(pack: Pack, family: str) -> Any:
    spec = SMALL[family]
    model = pack.library.build(family, **spec) if spec else pack.library.load(family, device="cpu")
    return pack.hosted.of(model.requires_grad_(False))


def media(pack: Pack, family: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and a clip in which the family finds what it moves."""
    images = dict(pack.pool["IMAGE"])
    if family in ("face", "liveportrait"):
        return images["a face"], images["a face that talks"]
    return images["picture"], images["clip"]


def from_family(pack: Pack, family: str) -> Iterator[tuple[str, Any]]:
    model = hosted(pack, family)
    picture, clip = media(pack, family)
    keypoints = pack.run("CM_ExtractKeypoints", {"model": model, "images": clip})[0]
    (field,) = pack.run(
        "CM_EstimateMotion",
        {"model": model, "source_image": picture, "driving_keypoints": keypoints},
    )
    yield "CM_MODEL", model
    yield "CM_KEYPOINTS", keypoints
    yield "CM_FIELD", field
    portrait = pack.run("CM_EncodeSource", {"model": model, "source_image": picture})[0]
    yield "CM_PORTRAIT", portrait
    if family in ("mraa", "tpsmm", "copart", "face"):
        yield "CM_PARTS", pack.run("CM_SegmentParts", {"model": model, "images": clip})[0]
    if family == "fomm":
        crop = {"images": clip, "margin": 0.4, "size": 0, "subject": pack.pool["MASK"][0][1]}
        yield "CM_PLACE", pack.run("CM_CropSubject", crop)[1]


def kinds_of(declared: Any) -> list[str]:
    """The types that an input takes."""
    kind = declared.get_io_type() if hasattr(declared, "get_io_type") else declared.io_type
    return kind.split(",")


def kind_of(declared: Any) -> str:
    """The type of an input; of several the first."""
    return kinds_of(declared)[0]


def values_of(pack: Pack, declared: Any) -> list[tuple[str, Any]]:
    """What may come into an input: of its range, its ends, beyond them, and other
    nodes' outputs.
    """
    kind = kind_of(declared)
    if kind in ("INT", "FLOAT"):
        least, most = declared.min, declared.max
        beyond = [least - 1, most + 1, 10**12, 10**400, math.nan, "x", None]
        return [(str(v)[:20], v) for v in [declared.default, least, most, *beyond]]
    if kind == "BOOLEAN":
        return [("yes", True), ("no", False)]
    if kind == "COMBO":
        options = [] if declared.id == "model_name" else declared.options
        return [(str(v)[:20], v) for v in [*options, "no such", "<img src=x>", 7]]
    if kind == "STRING":
        return [(word[:12], word) for word in WORDS]
    return [value for kind in kinds_of(declared) for value in pack.pool.get(kind, [])]


def usual(pack: Pack, node_id: str, family: str) -> dict[str, Any]:
    """Inputs that go together, of one family's graph."""
    given = {}
    for declared in pack.nodes[node_id].define_schema().inputs:
        kind = kind_of(declared)
        if kind in pack.pool:
            if declared.optional:
                continue
            own = dict(pack.pool[kind])
            given[declared.id] = own.get(family, next(iter(own.values())))
        else:
            given[declared.id] = getattr(declared, "default", None)
    picture, clip = media(pack, family)
    given |= {name: picture for name in ("source_image", "image") if name in given}
    given |= {name: clip for name in ("driving_images", "target_images", "images") if name in given}
    if node_id == "CM_CropSubject":
        given["subject"] = pack.pool["MASK"][0][1]
    return given


def connectable(pack: Pack, node_id: str) -> bool:
    """Whether there is a value for every socket that must be connected."""
    widgets = {"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"}
    needed = {kind_of(i) for i in pack.nodes[node_id].define_schema().inputs if not i.optional}
    return needed <= widgets | pack.pool.keys()


def hangs_on(pack: Pack, family: str, node_id: str, declared: Any) -> bool:
    """Whether the input's values may be answered otherwise by this family than by the others."""
    inputs = pack.nodes[node_id].define_schema().inputs
    of_family = any(kind_of(other) in ("CM_MODEL", "CM_KEYPOINTS") for other in inputs)
    return (
        family == WHOLE[0] or kind_of(declared).startswith("CM_") or (of_family and family in WHOLE)
    )


def small(declared: Any, value: Any) -> bool:
    """Whether a value at the end of its range is made here: pictures 16384 wide take minutes."""
    large = declared.id in ("width", "height", "size", "batch_size")
    return not (large and isinstance(value, int) and 1000 < value <= (declared.max or 0))


@pytest.mark.parametrize("family", SMALL)
def test_any_value_gives_a_result_or_a_sentence(pack, family, monkeypatch):
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "output=2e8")
    wrong = []
    for node_id in sorted(pack.nodes):
        if node_id == "CM_LoadModel" or not connectable(pack, node_id):
            continue
        for declared in pack.nodes[node_id].define_schema().inputs:
            if not hangs_on(pack, family, node_id, declared):
                continue
            for name, value in values_of(pack, declared):
                if not small(declared, value):
                    continue
                problem = attempt(
                    pack, node_id, {**usual(pack, node_id, family), declared.id: value}
                )
                if problem:
                    wrong.append(f"{node_id} {declared.id}={name}: {problem}")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong)


def attempt(pack: Pack, node_id: str, inputs: dict[str, Any]) -> str | None:
    """What went wrong, if it was neither a result nor a sentence."""
    try:
        pack.run(node_id, inputs)
    except pack.library.MotionError as error:
        said = str(error)
        plain = len(said) < 1000 and "<" not in said and said.isprintable()
        return None if plain else f"no sentence: {said[:80]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return None
