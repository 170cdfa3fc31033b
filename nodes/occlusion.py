"""What the source does not show, as a mask."""

from __future__ import annotations

from torch import Tensor

from ..comfyui_motion import MotionField
from ..comfyui_motion.fields.inverse import visible_map
from . import host, sockets
from .convert import EVEN_TOO, Gathered, evened, to_maps, to_mask
from .host import io
from .masks import closed, shaped


class OcclusionMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_OcclusionMask",
            display_name="Occlusion Mask",
            category="motion/field",
            description=(
                "What comes to light in each frame that the source does not show: for inpainting,"
                " or to see where a model must invent. 1 = repaint. Set Latent Noise Mask,"
                " InpaintModelConditioning and Differential Diffusion use it soft as it is; VAE"
                " Encode (for Inpainting) hardens it at 0.5."
            ),
            search_aliases=["visibility", "disocclusion", "inpaint mask"],
            inputs=[
                sockets.Field.Input("field", tooltip="From Estimate Motion or Animate Picture."),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Of the mask, in pixels. 0: as wide as the frames.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Of the mask, in pixels. 0: as high as the frames.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip=(
                        "From here on all is occluded and below nothing. 0: soft, as the model"
                        " has it, which Differential Diffusion makes use of: the higher, the more"
                        " steps repaint. VAE Encode (for Inpainting) takes 0.5 whatever it is."
                    ),
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-512,
                    max=512,
                    optional=True,
                    tooltip="Pixels by which the mask grows, or shrinks below 0.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=256.0,
                    step=0.5,
                    optional=True,
                    tooltip="Width of the soft edge, in pixels.",
                ),
                io.Boolean.Input(
                    "invert",
                    default=False,
                    optional=True,
                    tooltip="1 = visible in the source, 0 = occluded.",
                ),
                host.advanced(
                    io.Boolean.Input("even_size", default=True, optional=True, tooltip=EVEN_TOO)
                ),
                io.Boolean.Input(
                    "outside",
                    default=True,
                    optional=True,
                    tooltip="What is read from beyond the source's edge counts as occluded too.",
                ),
                io.Int.Input(
                    "close",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip=(
                        "Frames: what is visible for no longer than that between two occlusions is"
                        " occluded throughout, so that repainting does not flicker."
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="mask", tooltip="One mask per frame, 1 = occluded, to inpaint."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        width: int,
        height: int,
        threshold: float = 0.0,
        grow: int = 0,
        feather: float = 0.0,
        invert: bool = False,
        even_size: bool = True,
        outside: bool = True,
        close: int = 0,
    ) -> io.NodeOutput:
        field = field.of_source()
        size = height or field.picture_size[0], width or field.picture_size[1]
        even = even_size and not (width or height)
        mask = Gathered(len(field), host.result_device())
        for maps in host.batches(
            lambda part: shaped(hidden(field[part], size, outside), threshold), len(field), 16
        ):
            mask.add(to_mask(maps))
        maps = to_maps(mask.whole)
        maps = closed(maps, close) if close else maps
        for part in host.batches(lambda part: part, len(field), 16):
            made = shaped(maps[part], grow=grow, feather=feather)
            mask.whole[part] = to_mask(1 - made if invert else made)
        return io.NodeOutput(to_mask(evened(to_maps(mask.whole), even)))


def hidden(field: MotionField, size: tuple[int, int], outside: bool) -> Tensor:
    """B 1 h w, 1 = occluded"""
    return 1 - visible_map(field, size) if outside else field.occlusion_mask(*size)


NODES = [OcclusionMask]
