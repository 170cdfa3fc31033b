"""A field to frames."""

from __future__ import annotations

import torch
from torch import Tensor

from ..comfyui_motion import MotionField
from ..comfyui_motion.cutout import move_alpha
from ..comfyui_motion.framing.level import LevelPortrait
from ..comfyui_motion.framing.portrait import FramedPortrait
from ..comfyui_motion.head_cutouts import moved_alpha
from ..comfyui_motion.memory import frames_at_once
from . import host, sockets, widgets
from .checks import belonging
from .convert import Gathered, evened, to_images, to_mask, to_pictures
from .encode import framed
from .film import film_of
from .host import io


class Generate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_Generate",
            is_output_node=True,
            display_name="Generate Frames",
            category="motion",
            description="The source moved by a motion field, with what it hides made up.",
            inputs=[
                sockets.Model.Input("model", tooltip="The model that estimated the field."),
                io.Image.Input(
                    "source_image", tooltip="The still picture the field was estimated for."
                ),
                sockets.Field.Input("field", tooltip="From Estimate Motion, one per frame."),
                widgets.size(),
                widgets.even_size(),
                widgets.portrait(),
                widgets.source_alpha(),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames, one per field."),
                io.Mask.Output(
                    display_name="occlusion",
                    tooltip=(
                        "What in them the source does not show and had to be made up, 1 = made up:"
                        " to inpaint."
                    ),
                ),
                widgets.alpha(),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Tensor,
        field: MotionField,
        size: str,
        even_size: bool = True,
        portrait: FramedPortrait | None = None,
        source_alpha: Tensor | None = None,
    ) -> io.NodeOutput:
        at_once = frames_at_once(model.model)
        network = model.ready(at_once)
        source = framed(network, source_image, portrait, source_alpha)

        def render(part: slice) -> tuple[Tensor, Tensor, Tensor]:
            one = field[part].to(network.device)
            with belonging(network, "field"):
                frames, hidden = source.render(source.from_wire(one), size)
            return frames, hidden, transparent(source, one, hidden, size)

        work = host.batches(render, len(field), at_once, lambda made: made[0][0])
        images, masks, clear = (Gathered(len(field), host.result_device()) for _ in range(3))
        for frames, occlusion, alpha in work:
            images.add(to_images(evened(frames, even_size)))
            masks.add(to_mask(evened(occlusion, even_size)))
            clear.add(to_mask(evened(alpha, even_size)))
        shown = film_of(to_pictures(images.whole))
        return io.NodeOutput(images.whole, masks.whole, clear.whole, ui=shown)


def transparent(source: FramedPortrait, field: MotionField, hidden: Tensor, size: str) -> Tensor:
    """What a cut-out's frames do not show; of any other source nothing. B 1 h w"""
    if source.alpha is None:
        return torch.zeros_like(hidden)
    alpha = source.alpha.to(hidden.device)
    if isinstance(source, LevelPortrait):
        return 1 - moved_alpha(alpha, [source], hidden, field, size)
    return 1 - move_alpha(alpha, field, hidden)


NODES = [Generate]
