"""What the help shows of each node: the node at work on the pack's own samples, and beside it what
shows what it made.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
from build import Group, Node, Template

FACES = {"model_name": "faces (comes with the pack)"}
# what scenes draw on; a scene has those it names, and what these need
STOCK = {
    "sample": Node("sample", "CM_SampleMotion", room=150),
    "model": Node("model", "CM_LoadModel", FACES, room=50),
    "animate": Node(
        "animate",
        "CM_Animate",
        {
            "model": "@model.model",
            "source_image": "@sample.picture",
            "driving_images": "@sample.clip",
            "reference_frame": -1,
            "start_frame": 36,
            "frame_count": 3,
        },
        room=230,
    ),
    "crop": Node("crop", "CM_CropSubject", {"images": "@sample.picture"}),
    "parts": Node(
        "parts", "CM_SegmentParts", {"model": "@model.model", "images": "@sample.picture"}
    ),
    "face": Node("face", "CM_PartMask", {"parts": "@parts.parts", "indices": "2-7"}),
    "person": Node("person", "CM_PartMask", {"parts": "@parts.parts", "indices": "1-7"}),
    "encoded": Node(
        "encoded", "CM_EncodeSource", {"model": "@model.model", "source_image": "@sample.picture"}
    ),
    "smile": Node(
        "smile",
        "CM_EditExpression",
        {"keypoints": "@encoded.source_keypoints", "smile": 0.9, "yaw": 10.0, "frames": 1},
    ),
    "json": Node("json", "CM_KeypointsToJSON", {"keypoints": "@smile.keypoints"}),
    "latent": Node("latent", "EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 3}),
    "map": Node("map", "EmptyImage", {"width": 256, "height": 256, "color": 0x808000}),
}
FIELD, POINTS = "@animate.field", "@animate.keypoints"
SOURCE = {"model": "@model.model", "source_image": "@sample.picture"}


@dataclass(frozen=True)
class Scene:
    """A node with these inputs, and what shows its output (kind, input that takes it, others),
    which stays out of the picture where the node says all by itself.
    """

    kind: str
    inputs: dict[str, Any]
    shown: tuple[str, str, dict[str, Any]] | None = None
    room: int = 0
    width: int = 280
    alone: bool = False

    def graph(self, known: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """As the page opens it, and the numbers of the nodes to be shown."""
        node = Node("it", self.kind, self.inputs, self.room, self.width)
        shown = [node]
        if self.shown:
            kind, takes, others = self.shown
            shown.append(Node("shown", kind, {takes: self.output(known)} | others, room=300))
        stock = [STOCK[name] for name in STOCK if name in needed(shown)]
        groups = [Group("", [one]) for one in [*stock, *shown]]
        made = Template(self.kind, "", groups).workflow(known)
        made["groups"], made["nodes"] = [], made["nodes"][1:]
        seen = shown[:1] if self.alone else shown
        first = made["nodes"][-len(shown)]["id"]
        return made, [first + i for i in range(len(seen))]

    def output(self, known: dict[str, Any]) -> str:
        """The first output that what shows it takes."""
        info, (kind, takes, _) = known[self.kind], self.shown
        spec = {**known[kind]["input"]["required"], **known[kind]["input"].get("optional", {})}
        wanted = str(spec[takes][0]).split(",")
        for name, given in zip(info["output_name"], info["output"], strict=True):
            if given in wanted or "*" in wanted:
                return f"@it.{name}"
        raise SystemExit(f"{kind} shows nothing that {self.kind} gives.")


def needed(nodes: list[Node]) -> set[str]:
    """The names of stock that these hang on."""
    wires = {v[1:].partition(".")[0] for n in nodes for v in n.inputs.values() if is_wire(v)}
    named = wires & STOCK.keys()
    return named | needed([STOCK[name] for name in named]) if named else set()


def is_wire(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("@")


def field(on: str = "@animate.images") -> tuple[str, str, dict[str, Any]]:
    return "CM_PreviewField", "field", {"images": on}


def points(on: str = "@sample.picture") -> tuple[str, str, dict[str, Any]]:
    return "CM_PreviewKeypoints", "keypoints", {"images": on}


PICTURE = ("PreviewImage", "images", {})
MASK = ("MaskPreview", "mask", {})
TEXT: Any = ("PreviewAny", "source", {})
STILL = {"images": "@sample.picture"}
SCENES = [
    Scene("CM_SampleMotion", {}, PICTURE, room=150, alone=True),
    Scene("CM_LoadModel", FACES, TEXT, 50, alone=True),
    Scene("CM_Animate", STOCK["animate"].inputs, room=230),
    Scene("CM_EncodeSource", SOURCE, points()),
    Scene("CM_ExtractKeypoints", {"model": "@model.model"} | STILL, points()),
    Scene(
        "CM_RetargetKeypoints",
        {"driving_keypoints": POINTS, "source_keypoints": "@encoded.source_keypoints"},
        points("@animate.images"),
    ),
    Scene("CM_SmoothKeypoints", {"keypoints": POINTS, "sigma": 2.0}, points("@animate.images")),
    Scene("CM_KeypointsToJSON", {"keypoints": "@smile.keypoints"}, TEXT),
    Scene("CM_KeypointsFromJSON", {"json": "@json.json"}, points()),
    Scene("CM_EditExpression", STOCK["smile"].inputs, points()),
    Scene("CM_SaveKeypoints", {"keypoints": POINTS}, TEXT, alone=True),
    Scene("CM_LoadKeypoints", {}, points("@animate.images")),
    Scene("CM_EditKeypoints", {"keypoints": POINTS, "images": "@animate.images"}, None, 430, 380),
    Scene(
        "CM_PoseFace",
        SOURCE
        | {
            "poses": '{"format":"comfyui_motion.poses","version":1,"keys":{"0":{"smile":0.9,'
            '"yaw":8,"wink_left":0.9}},"saved":{}}'
        },
        None,
        430,
        640,
    ),
    Scene("CM_EstimateMotion", SOURCE | {"driving_keypoints": POINTS}, field()),
    Scene("CM_Generate", SOURCE | {"field": FIELD}, None, 260),
    Scene("CM_OcclusionMask", {"field": FIELD, "grow": 4, "feather": 4}, MASK),
    Scene("CM_WarpImage", {"field": FIELD, "image": "@sample.picture"}, PICTURE),
    Scene("CM_WarpMask", {"field": FIELD, "mask": "@face.mask"}, MASK),
    Scene("CM_FieldFromVideo", {"images": "@animate.images"}, field()),
    Scene("CM_ComposeFields", {"first": FIELD, "then": FIELD}, field()),
    Scene("CM_InvertField", {"field": FIELD}, field("@sample.picture")),
    Scene("CM_MaskField", {"field": FIELD, "mask": "@face.mask"}, field()),
    Scene("CM_FieldStrength", {"field": FIELD, "strength": 2.0}, field()),
    Scene("CM_SmoothField", {"field": FIELD}, field()),
    Scene("CM_SaveField", {"field": FIELD}, TEXT, alone=True),
    Scene("CM_LoadField", {}, field()),
    Scene("CM_FieldFromImage", {"images": "@map.IMAGE"}, ("CM_PreviewField", "field", {})),
    Scene(
        "CM_SaveMotionPasses",
        {"field": FIELD, "images": "@animate.images"},
        TEXT,
        alone=True,
    ),
    Scene("CM_FieldToTracks", {"field": FIELD}, TEXT),
    Scene("CM_KeypointsToTracks", {"keypoints": POINTS}, TEXT),
    Scene("CM_WarpLatent", {"field": FIELD, "latent": "@latent.LATENT"}, TEXT, alone=True),
    Scene("CM_WarpNoise", {"field": FIELD, "latent": "@latent.LATENT"}, TEXT, alone=True),
    Scene(
        "CM_SegmentParts", {"model": "@model.model"} | STILL, ("CM_PreviewParts", "parts", STILL)
    ),
    Scene("CM_PartMask", {"parts": "@parts.parts", "indices": "1-3"}, MASK),
    Scene("CM_SwapParts", SOURCE | {"target_images": "@animate.images", "indices": "1-3"}, PICTURE),
    Scene("CM_PreviewKeypoints", {"keypoints": POINTS, "images": "@animate.images"}, None, 280),
    Scene("CM_PreviewField", {"field": FIELD, "images": "@animate.images"}, None, 280),
    Scene("CM_PreviewParts", {"parts": "@parts.parts"} | STILL, None, 280),
    Scene("CM_CropSubject", STILL, PICTURE),
    Scene(
        "CM_PasteBack",
        {"images": "@sample.picture", "crops": "@crop.images", "place": "@crop.place"},
        PICTURE,
    ),
    Scene("CM_CleanPlate", {"images": "@sample.picture", "mask": "@person.mask"}, PICTURE),
    Scene(
        "CM_WanAnimateInputs",
        {"driving_images": "@sample.clip", "length": 5, "frame_count": 5},
        PICTURE,
    ),
]
