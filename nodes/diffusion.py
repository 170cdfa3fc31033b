"""Latents and noise that move with the subject."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..comfyui_motion import MotionField
from ..comfyui_motion.diffusion.latents import TIME_STRIDE, check_samples, warp_latent_dict
from ..comfyui_motion.diffusion.noise import FieldNoise
from . import host, sockets
from .film import HEIGHT, film_of
from .host import io
from .warp import EDGE, EDGES

FIELD = "The motion, one field per frame of the clip."


def time_stride() -> Any:
    return host.advanced(
        io.Int.Input(
            "time_stride",
            default=TIME_STRIDE,
            min=1,
            max=64,
            optional=True,
            tooltip=(
                "Video latents only: frames to one latent frame after the first. 4 for Wan, Hunyuan"
                " and Cosmos, 8 for LTX-Video, 6 for Mochi."
            ),
        )
    )


class WarpLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_WarpLatent",
            display_name="Warp Latent",
            category="motion/diffusion",
            description=(
                "An encoded picture or video moved by a motion field, its noise mask with it: the"
                " start of an image-to-image pass over frames that already move."
            ),
            search_aliases=["latent warp", "optical flow latent"],
            inputs=[
                sockets.Field.Input("field", tooltip=FIELD),
                io.Latent.Input(
                    "latent",
                    tooltip=(
                        "The source, encoded: one for all frames, or one per frame. Of a video VAE:"
                        " one latent frame, or as many as the field's frames make."
                    ),
                ),
                io.Combo.Input(
                    "edge", options=list(EDGES), default="repeat", optional=True, tooltip=EDGE
                ),
                time_stride(),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip=(
                        "The latent in motion: a picture per frame, or a video latent. All else"
                        " that came with it is kept."
                    ),
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        latent: dict[str, Any],
        edge: str = "repeat",
        time_stride: int = TIME_STRIDE,
    ) -> io.NodeOutput:
        padding = EDGES[edge]
        moved = warp_latent_dict(field, latent, time_stride, padding)
        return io.NodeOutput(moved, ui=film_of(seen(moved["samples"])))


class WarpNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_WarpNoise",
            display_name="Warp Noise",
            category="motion/diffusion",
            description=(
                "Noise that sticks to the moving subject, so that what a diffusion model makes of"
                " it moves along instead of boiling. It is exactly Gaussian white noise in every"
                " frame, whatever the motion."
            ),
            search_aliases=["noise warping", "go with the flow", "temporal noise"],
            inputs=[
                sockets.Field.Input("field", tooltip=FIELD),
                io.Latent.Input(
                    "latent",
                    tooltip=(
                        "What will be sampled, or an empty latent like it: the noise takes its"
                        " size."
                        " A picture per frame, or a video latent."
                    ),
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip=(
                        "Without motion it is the noise that Random Noise gives for this seed."
                    ),
                ),
                io.Float.Input(
                    "degradation",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip=(
                        "How much noise is mixed in that is new in every frame: 0 holds the model"
                        " closely to the motion, 1 leaves it free."
                    ),
                ),
                time_stride(),
            ],
            outputs=[
                io.Noise.Output(
                    display_name="noise",
                    tooltip="For SamplerCustomAdvanced and AddNoise, in place of Random Noise.",
                ),
                io.Latent.Output(
                    display_name="latent",
                    tooltip=(
                        "The same noise as a latent, of unit variance: for nodes that take noise"
                        " so,"
                        " and to look at."
                    ),
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        latent: dict[str, Any],
        seed: int,
        degradation: float = 0.0,
        time_stride: int = TIME_STRIDE,
    ) -> io.NodeOutput:
        check_samples(latent["samples"])
        noise = FieldNoise(field.of_source().to("cpu"), seed, degradation, time_stride)
        progress: list[host.Progress] = []

        def told(done: int, total: int) -> None:
            progress[:] = progress or [host.Progress(total)]
            progress[0](done)

        made = noise.generate_noise(latent, told)
        moved = latent | {"samples": made.to(host.result_device())}
        return io.NodeOutput(noise, moved, ui=film_of(seen(made)))


def seen(samples: Tensor) -> Tensor:
    """A latent to look at: its first channels as colours, every number a square. B C h w, or the
    first film of B C T h w -> B 3 H W in 0..1
    """
    pictures = samples[0].transpose(0, 1) if samples.ndim == 5 else samples
    colours = pictures[:, :3].float()
    colours = colours if colours.shape[1] == 3 else colours[:, :1].expand(-1, 3, -1, -1)
    spread = colours.std(correction=0).clamp(min=1e-6)
    colours = ((colours - colours.mean()) / (4 * spread) + 0.5).clamp(0, 1)
    larger = max(1, HEIGHT // colours.shape[-2])
    return colours.repeat_interleave(larger, dim=2).repeat_interleave(larger, dim=3)


NODES = [WarpLatent, WarpNoise]
