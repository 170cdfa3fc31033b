"""A face posed by hand: dials on the node, keys in time, the picture following while one drags."""

from __future__ import annotations

import io as bytes_io
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError, Keypoints, pose
from ..comfyui_motion.dials import Dials
from ..comfyui_motion.framing.portrait import FramedPortrait
from ..comfyui_motion.media.picture import to_pixels
from ..comfyui_motion.poses import Poses
from . import host, sockets, widgets
from .checks import affordable, check_driver
from .convert import Gathered, evened, to_images
from .encode import framed
from .film import Film
from .host import io

# pixels of the longer side of the picture that follows the dials: while one is held, and after
DRAFT, SIDE = 320, 640
AT_ONCE = 4
KEPT = 4  # nodes whose pictures follow at once


class PoseFace(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_PoseFace",
            is_output_node=True,
            display_name="Pose Face (Expression Editor)",
            category="motion",
            description=(
                "The expression editor: turn, nod, blink, wink, gaze, brows, smile and mouth of a"
                " portrait by hand. One pose, poses that ease into one another as a clip, or an"
                " expression added to a clip's own performance. Run once, then drag: the picture"
                " follows."
            ),
            search_aliases=[
                "expression editor",
                "face editor",
                "facial expression",
                "liveportrait",
                "smile",
                "blink",
                "head pose",
                "gaze",
            ],
            inputs=[
                sockets.Model.Input(
                    "model",
                    tooltip="From Load Motion Model: face, which comes with the pack, or"
                    " LivePortrait.",
                ),
                io.Image.Input("source_image", tooltip="The portrait, of any size."),
                io.String.Input(
                    "poses",
                    multiline=True,
                    default="",
                    tooltip=(
                        "What was set, as the editor on the node writes it. It is all that is kept:"
                        " copy it, or send it through the API. Empty: the face at rest."
                    ),
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip=(
                        "How many frames to make. 0: up to the last pose, or as many as there are"
                        " keypoints."
                    ),
                ),
                sockets.Keypoints.Input(
                    "keypoints",
                    optional=True,
                    tooltip=(
                        "A performance to add the pose to, from Retarget Keypoints or Animate"
                        " Picture: as he talks, but smiling. Left open: the face at rest."
                    ),
                ),
                widgets.portrait(),
                widgets.even_size(),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The posed picture, one per frame."),
                sockets.Keypoints.Output(
                    display_name="keypoints",
                    tooltip="The pose of each frame, for Estimate Motion and the nodes after it.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Tensor,
        poses: str,
        frames: int,
        keypoints: Any = None,
        portrait: FramedPortrait | None = None,
        even_size: bool = True,
    ) -> io.NodeOutput:
        chosen = Poses.from_json(poses)
        network = model.ready(AT_ONCE)
        source = framed(network, source_image, portrait)
        base = source.portrait.keypoints if keypoints is None else keypoints
        affordable("The result", frames or chosen.length, *source.picture.shape[1:])
        own = source.portrait.keypoints
        check_driver(network, base, own)
        posed = all_posed(base, chosen, frames, keypoints is not None, network, own)
        images, film = rendered(network, source, posed, even_size)
        # not the model that hears a user cancel: what is asked from the page is nobody's run
        follower = Follower(replace(source, model=model.model), keypoints)
        shown = film.shown() | {"motion_pose": [{"token": FOLLOWERS.keep(follower)}]}
        return io.NodeOutput(images, posed.to(host.result_device()), ui=shown)


def all_posed(
    base: Keypoints, poses: Poses, frames: int, moving: bool, network: Any, own: Keypoints
) -> Keypoints:
    """The points of every frame: one pose a frame on a face at rest, or on a performance's own;
    stitched to the picture round the face, whose points are `own`, where the model can.
    """
    total = frames or (len(base) if moving else poses.length)
    if moving and total > len(base):
        raise InputError(
            f"There are keypoints of {len(base)} frames, and {total} are asked for; set frames to 0"
            " or fewer."
        )
    dials = poses.frames(total)
    return Keypoints.join(
        pose(base[i if moving else 0], dials[i], network, own) for i in range(total)
    )


def rendered(
    network: Any, source: FramedPortrait, posed: Keypoints, even: bool
) -> tuple[Tensor, Film]:
    """The frames, B H W 3, and a film of them beside the picture at rest."""
    images, film = Gathered(len(posed), host.result_device()), Film(panels=("before", "after"))
    before = evened(source.picture[:1], even).cpu()

    def work(part: slice) -> Tensor:
        field = network.motion(source.portrait, posed[part].to(network.device))
        return evened(source.render(field, "source")[0], even)

    for made in host.batches(work, len(posed), AT_ONCE, lambda made: made[0]):
        images.add(to_images(made))
        film.add(before, made.cpu())
    return images.whole, film


@dataclass(frozen=True, eq=False)
class Follower:
    """A picture that follows the dials, small, beside the queue."""

    source: FramedPortrait
    performance: Keypoints | None  # what the dials are added to; None: the face at rest

    @cached_property
    def whole(self) -> FramedPortrait:
        return self.source.no_larger(SIDE)

    @cached_property
    def draft(self) -> FramedPortrait:
        return self.source.no_larger(DRAFT)

    @torch.inference_mode()
    def frame(self, dials: Dials, number: int = 0, draft: bool = False) -> Tensor:
        """1 3 h w"""
        source = self.draft if draft else self.whole
        model = source.model
        if source.portrait.keypoints.position.device != model.device:  # the host has moved it
            source = source.to(model.device)
        portrait, base = source.portrait, source.portrait.keypoints
        if self.performance is not None:
            base = self.performance[min(number, len(self.performance) - 1)].to(model.device)
        posed = pose(base, dials, model, portrait.keypoints)
        return source.render(model.motion(portrait, posed), "source")[0]


class Followers:
    """The last few, by a token that only the page of their run knows."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Follower] = OrderedDict()

    def keep(self, follower: Follower) -> str:
        token = uuid.uuid4().hex
        self._kept[token] = follower
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return token

    def ask(self, asked: dict[str, Any]) -> tuple[bytes, str]:
        """The picture with these dials, as a JPEG. Raises InputError."""
        from PIL import Image

        follower = self._kept.get(str(asked.get("token")))
        if follower is None:
            raise InputError("This picture is not held any more: run the node once.")
        dials = asked.get("dials")
        chosen = Dials.of(dials if isinstance(dials, dict) else {})
        number = asked.get("frame")
        number = number if isinstance(number, int) and number >= 0 else 0
        frame = follower.frame(chosen, number, bool(asked.get("draft")))
        pixels = to_pixels(frame.float().cpu())[0].numpy()
        file = bytes_io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=88)
        return file.getvalue(), "image/jpeg"


FOLLOWERS = Followers()
host.add_route("POST", "pose", FOLLOWERS.ask)
NODES = [PoseFace]
