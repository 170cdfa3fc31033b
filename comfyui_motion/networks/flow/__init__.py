"""Motion that needs no weights: dense optical flow of the driving clip behind the
four verbs.
"""

from .model import FAMILY

__all__ = ["FAMILY"]
