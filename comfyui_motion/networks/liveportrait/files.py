"""The five published files: which is which by content, and their tensors under the names of the
model here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...model import Files
from .parameters import APPEARANCE, MEMBERS, MOTION, PAINT, STITCH, WARP, read_shapes

MARKS = {
    APPEARANCE: "resblocks_3d.3dr0.conv1.weight",
    MOTION: "detector.fc_exp.weight",
    WARP: "dense_motion_network.hourglass.encoder.down_blocks.0.conv.weight",
    PAINT: "G_middle_0.conv_0.weight_orig",
    STITCH: "retarget_shoulder",
}
NETWORKS = ("retarget_shoulder", "retarget_mouth", "retarget_eye")


def member(tensors: Mapping[str, Tensor]) -> str | None:
    """Which of the five files these tensors are, by their names; None: none of them."""
    for name, mark in MARKS.items():
        if name == STITCH and any(key.startswith(mark) for key in tensors):
            return name
        if mark in tensors and (name != WARP or tensors[mark].ndim == 5):
            return name
    return None


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """One of the files, or several of them together."""
    return member(tensors) is not None or any(
        f"{name}.{MARKS[name]}" in tensors for name in MEMBERS[:-1]
    )


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """To the names of the model here, weights that are normalised by their spectrum worked out."""
    tensors = own_names(tensors)
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(("_u", "_v"))}
    return {
        name.removesuffix("_orig"): folded(tensors, name) if name.endswith("_orig") else tensor
        for name, tensor in kept.items()
    }


def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the marks that S's two formats leave in its names, and without what else it holds."""
    named = {}
    for name, tensor in tensors.items():
        member, _, rest = name.partition(".")
        if member == STITCH:
            network, *path = (part for part in rest.split(".") if part != "module")
            network = network.removesuffix("_module")
            name = ".".join([member, network, *path])
            if network not in NETWORKS:
                continue
        named[name] = tensor
    return named


def folded(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """weight / (u^T W v), W being the weight as out x rest (Miyato et al., ICLR 2018, eq. 8)."""
    weight = tensors[name]
    stem = name.removesuffix("orig")
    u, v = (tensors[f"{stem}{side}"].double() for side in "uv")
    spectrum = u @ weight.double().flatten(1) @ v
    return (weight.double() / spectrum).to(weight.dtype)


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The Parameters that shapes tell, of all files' tensors, each under the name of its file."""
    return read_shapes(own_names(tensors))


FILES = Files(
    title="LivePortrait",
    which=member,
    names=MEMBERS,
    optional={
        STITCH: "shoulders and neck are not stitched to the picture round them, and neither eyes"
        " nor lips are retargeted by networks"
    },
)
