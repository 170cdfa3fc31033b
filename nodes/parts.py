"""Parts: found, made masks of, and one picture's laid over another's."""

from __future__ import annotations

from torch import Tensor

from ..comfyui_motion.framing.portrait import fitted
from ..comfyui_motion.media.picture import to_rgb
from ..comfyui_motion.memory import frames_at_once
from ..comfyui_motion.parts import (
    WHOSE,
    part_mask,
    part_numbers,
    swap_parts,
)
from . import host, sockets, widgets
from .convert import Gathered, resized, to_images, to_maps, to_mask, to_pictures
from .host import io

CATEGORY = "motion/parts"
SIZES = ["target", "model"]


class SegmentParts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SegmentParts",
            display_name="Segment Parts",
            category=CATEGORY,
            description=(
                "The parts a model knows in each picture: lips, eyes, brows, nose, face, hair and"
                " body by the default; co-part segmentation's own, MRAA's regions, TPSMM's splines."
            ),
            search_aliases=["segmentation", "co-part"],
            inputs=[
                sockets.Model.Input(
                    "model",
                    tooltip="face, which comes with the pack, or a co-part, MRAA or TPSMM"
                    " checkpoint.",
                ),
                io.Image.Input("images", tooltip="Pictures of any size."),
            ],
            outputs=[
                sockets.Parts.Output(
                    display_name="parts",
                    tooltip="Soft masks that sum to 1, the background first; one set per picture.",
                )
            ],
        )

    @classmethod
    def execute(cls, model: host.HostedModel, images: Tensor) -> io.NodeOutput:
        frames, at_once = to_pictures(images), frames_at_once(model.model)
        network = model.ready(at_once)
        found = None
        for parts in host.batches(
            lambda part: network.segment(fitted(network, frames[part])).float(),
            len(frames),
            at_once,
        ):
            found = found or Gathered(len(frames), host.result_device())
            found.add(parts)
        return io.NodeOutput(found.whole if found else None)


class PartMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_PartMask",
            display_name="Part Mask",
            category=CATEGORY,
            description=(
                "Where any of the chosen parts is, as a mask: for compositing, inpainting, or Swap"
                " Parts."
            ),
            inputs=[
                sockets.Parts.Input("parts", tooltip="From Segment Parts."),
                io.String.Input("indices", default="1", tooltip=widgets.PARTS),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=16384,
                    optional=True,
                    tooltip="Of the mask, in pixels. 0: the model's own.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=16384,
                    optional=True,
                    tooltip="Of the mask, in pixels. 0: the model's own.",
                ),
                io.Boolean.Input(
                    "hard", default=False, optional=True, tooltip="0 or 1 instead of soft edges."
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="mask", tooltip="1 where the parts are, one mask per picture."
                )
            ],
        )

    @classmethod
    def execute(
        cls, parts: Tensor, indices: str, width: int = 0, height: int = 0, hard: bool = False
    ) -> io.NodeOutput:
        mask = part_mask(
            resized(parts, height or parts.shape[2], width or parts.shape[3]),
            part_numbers(indices),
            hard,
        )
        return io.NodeOutput(to_mask(mask))


class SwapParts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SwapParts",
            display_name="Swap Parts (Face, Hair)",
            category=CATEGORY,
            description=(
                "Parts of the source picture in place of the targets': hair, lips, eyes, a shirt."
            ),
            search_aliases=["face swap", "hair swap", "co-part"],
            inputs=[
                sockets.Model.Input(
                    "model",
                    tooltip=(
                        "face, which comes with the pack, or a co-part segmentation or FOMM"
                        " checkpoint. FOMM knows no parts: give it a mask."
                    ),
                ),
                io.Image.Input(
                    "source_image", tooltip="Where the parts come from: one picture, of any size."
                ),
                io.Image.Input(
                    "target_images", tooltip="Where they go: one picture or a clip, of any size."
                ),
                io.String.Input(
                    "indices", default="1", tooltip=f"{widgets.PARTS} Not used with a mask."
                ),
                io.Combo.Input(
                    "mask_of",
                    options=list(WHOSE),
                    default="target",
                    tooltip=(
                        "target: what is replaced is where the target has the parts. source: where"
                        " the source has them, moved to the target's pose."
                    ),
                ),
                io.Boolean.Input(
                    "hard", default=False, tooltip="Masks of 0 and 1 instead of soft edges."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 leaves the target as the network sees it, 1 swaps wholly.",
                ),
                io.Combo.Input(
                    "size",
                    options=SIZES,
                    default="target",
                    tooltip=(
                        "target: the frames at the target's own size. model: the network's own."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Any segmenter's, instead of parts: 1 = from the source. Drawn on the"
                        " target, or on the source where mask_of says so."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="The targets with the source's parts, one per target.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Tensor,
        target_images: Tensor,
        indices: str,
        mask_of: str,
        hard: bool,
        strength: float,
        size: str,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        targets, at_once = to_pictures(target_images, "target_images"), frames_at_once(model.model)
        network = model.ready(at_once)
        portrait = network.encode(
            shown(network, to_pictures(source_image, "source_image")[:1], size).to(network.device)
        )
        maps = None if mask is None else to_maps(mask)
        images = Gathered(len(targets), host.result_device())

        def work(part: slice) -> Tensor:
            chosen = mask_of if maps is None else maps if len(maps) == 1 else maps[part]
            frames = swap_parts(
                network,
                portrait,
                shown(network, targets[part], size),
                part_numbers(indices),
                chosen,
                hard,
                strength,
                mask_of,
            )
            return resized(frames, *targets.shape[-2:]) if size == "target" else frames

        for frames in host.batches(work, len(targets), at_once, lambda made: made[0]):
            images.add(to_images(frames))
        return io.NodeOutput(images.whole)


def shown(network: host.MotionModel, pictures: Tensor, size: str) -> Tensor:
    """As a network swaps them: at their own size where it can and that is asked for."""
    whole = network.any_size and size == "target"
    return to_rgb(pictures) if whole else fitted(network, pictures)


NODES = [SegmentParts, PartMask, SwapParts]
