"""Faces: found, followed and animated by their own mesh."""

from .model import FAMILY

__all__ = ["FAMILY"]
