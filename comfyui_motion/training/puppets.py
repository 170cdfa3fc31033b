"""The drawn clips under the name they had before: scripts that import them from here go on.

They are in `comfyui_motion.data.puppets.clips`.
"""

from ..data.puppets.clips import JOINTS, KINDS, UNSEEN, PuppetClip, Puppets, puppet_clip

__all__ = ["JOINTS", "KINDS", "UNSEEN", "PuppetClip", "Puppets", "puppet_clip"]
