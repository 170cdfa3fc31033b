"""What a set of LivePortrait files decides, and how it is read off the shapes of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..layers.blocks import count_blocks


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    channels: int
    keypoints: int
    appearance: tuple[int, ...]  # widths of F: at full size, then after every halving
    volume: int  # channels of the volume
    depth: int  # planes of the volume
    residuals: int  # blocks of F that work on the volume
    stages: tuple[int, ...]  # blocks of M in every stage
    widths: tuple[int, ...]  # channels of M in every stage
    bins: int  # of an angle, three degrees each
    compressed: int  # channels of the volume that W looks at
    encoder: tuple[int, ...]  # widths of W's hourglass, down
    decoder: tuple[int, ...]  # and up
    occlusion: bool
    warped: int  # channels of what W hands to G
    middle: int  # channels of G's middle blocks
    middles: int  # how many there are
    painted: tuple[int, ...]  # channels after each of G's doublings
    hidden: int  # channels inside G's normalisations
    shuffle: int  # how much larger G's picture is than its last features
    stitching: tuple[int, ...]  # widths of the hidden layers of S; none where S is missing
    lips: tuple[int, ...]
    eyes: tuple[int, ...]

    animals: bool  # cats and dogs: without stitching, and without the regions of a human face
    size: int


PUBLISHED = Parameters(
    channels=3,
    keypoints=21,
    appearance=(64, 128, 256),
    volume=32,
    depth=16,
    residuals=6,
    stages=(3, 3, 9, 3),
    widths=(96, 192, 384, 768),
    bins=66,
    compressed=4,
    encoder=(64, 128, 256, 512, 1024),
    decoder=(512, 256, 128, 64, 32),
    occlusion=True,
    warped=256,
    middle=512,
    middles=6,
    painted=(256, 64),
    hidden=128,
    shuffle=2,
    stitching=(128, 128, 64),
    lips=(128, 128, 64),
    eyes=(256, 256, 128, 128, 64),
    animals=False,
    size=256,
)

APPEARANCE, MOTION, WARP, PAINT, STITCH = MEMBERS = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)


def rows(tensors: Mapping[str, Tensor], *names: str) -> tuple[int, ...]:
    """How many outputs each of the layers has."""
    return tuple(tensors[name].shape[0] for name in names)


def numbered(tensors: Mapping[str, Tensor], prefix: str, suffix: str) -> tuple[int, ...]:
    """The outputs of the layers `prefix`0`suffix`, `prefix`1`suffix` and so on."""
    count = count_blocks(tensors, prefix)
    return rows(tensors, *(f"{prefix}{i}{suffix}" for i in range(count)))


def hidden_layers(tensors: Mapping[str, Tensor], network: str) -> tuple[int, ...]:
    """The widths between the ends of one of S's networks; none where it is missing."""
    prefix = f"{STITCH}.{network}.mlp."
    layers = sorted(
        int(name[len(prefix) :].split(".")[0])
        for name in tensors
        if name.startswith(prefix) and name.endswith(".weight")
    )
    return rows(tensors, *(f"{prefix}{i}.weight" for i in layers[:-1]))


def read_shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The Parameters that shapes tell, of all members' tensors by name."""
    look, see = f"{APPEARANCE}.", f"{MOTION}.detector."
    dense, paint = f"{WARP}.dense_motion_network.", f"{PAINT}."
    volume = tensors[f"{look}resblocks_3d.3dr0.conv1.weight"].shape[0]
    last = tensors.get(f"{paint}conv_img.0.weight")
    first = tensors[f"{look}first.conv.weight"]
    stages = count_blocks(tensors, f"{see}stages.")
    return {
        "channels": first.shape[1],
        "keypoints": tensors[f"{see}fc_kp.weight"].shape[0] // 3,
        "appearance": (first.shape[0], *numbered(tensors, f"{look}down_blocks.", ".conv.weight")),
        "volume": volume,
        "depth": tensors[f"{look}second.weight"].shape[0] // volume,
        "residuals": count_blocks(tensors, f"{look}resblocks_3d.3dr"),
        "stages": tuple(count_blocks(tensors, f"{see}stages.{i}.") for i in range(stages)),
        "widths": rows(tensors, *(f"{see}stages.{i}.0.dwconv.weight" for i in range(stages))),
        "bins": tensors[f"{see}fc_yaw.weight"].shape[0],
        "compressed": tensors[f"{dense}compress.weight"].shape[0],
        "encoder": numbered(tensors, f"{dense}hourglass.encoder.down_blocks.", ".conv.weight"),
        "decoder": numbered(tensors, f"{dense}hourglass.decoder.up_blocks.", ".conv.weight"),
        "occlusion": f"{dense}occlusion.weight" in tensors,
        "warped": tensors[f"{WARP}.fourth.weight"].shape[0],
        "middle": tensors[f"{paint}fc.weight"].shape[0],
        "middles": count_blocks(tensors, f"{paint}G_middle_"),
        "painted": numbered(tensors, f"{paint}up_", ".conv_0.bias"),
        "hidden": tensors[f"{paint}up_0.norm_0.mlp_shared.0.weight"].shape[0],
        "shuffle": 1 if last is None else round((last.shape[0] / first.shape[1]) ** 0.5),
        "stitching": hidden_layers(tensors, "retarget_shoulder"),
        "lips": hidden_layers(tensors, "retarget_mouth"),
        "eyes": hidden_layers(tensors, "retarget_eye"),
    }
