"""What our wires carry, beside the host's own kinds."""

from __future__ import annotations

from .host import io

Model = io.Custom("CM_MODEL")  # host.HostedModel
Keypoints = io.Custom(
    "CM_KEYPOINTS"
)  # comfyui_motion.Keypoints, or what a family without points is driven by
Field = io.Custom(
    "CM_FIELD"
)  # comfyui_motion.MotionField over the whole picture, read corner-aligned; what moves pictures by it asks for of_source()
Parts = io.Custom("CM_PARTS")  # a segmentation, B K+1 h w, summing to 1, part 0 the background
Place = io.Custom("CM_PLACE")  # comfyui_motion.crop.Place: where crops were cut from
