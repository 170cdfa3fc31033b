"""What our wires carry, beside the host's own kinds."""

from __future__ import annotations

from .host import io

Model = io.Custom("CM_MODEL")  # host.HostedModel
# comfyui_motion.Keypoints, or what a family without points is driven by
Keypoints = io.Custom("CM_KEYPOINTS")
# comfyui_motion.MotionField. Whoever does more with it than pass it on asks for of_source(): over
# the
# whole picture, read corner-aligned
Field = io.Custom("CM_FIELD")
Portrait = io.Custom("CM_PORTRAIT")  # comfyui_motion.framing.portrait.FramedPortrait
Parts = io.Custom("CM_PARTS")  # a segmentation, B K+1 h w, summing to 1, part 0 the background
Place = io.Custom("CM_PLACE")  # comfyui_motion.crop.Place: where crops were cut from
